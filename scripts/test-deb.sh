#!/usr/bin/env bash
# Installs the Debian package on a fresh Debian (vm.sh), records, upgrades and removes it while it records, and says how long
# it took from the package to the first recording.
set -euo pipefail
here=$(dirname "$(realpath "$0")"); root=$(realpath "$here/..")
cd "$root"
"$here/vm.sh" build
share=$root/target/vm/share-deb; rm -rf "$share"; mkdir -p "$share"
cp "$("$here/deb.sh")" "$share/first.deb"
cp "$(VERSION=99.0 "$here/deb.sh")" "$share/next.deb"
cat > "$share/guest" <<'GUEST'
set -euo pipefail
URL=/dev/tcp/127.0.0.1/8723
up() { cut -d' ' -f1 /proc/uptime; }
fail() { echo "FAILED: $*"; journalctl -u tonearm --no-pager | tail -20; exit 1; }
# There is no curl on a Debian this small.
http() {
  exec 3<>$URL
  printf '%s %s HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s' \
    "$1" "$2" "$TOKEN" "${#3}" "$3" >&3
  cat <&3; exec 3>&-
}
member() { grep -o "\"$1\":\"[^\"]*\"" | head -1 | cut -d'"' -f4; }
settles() { for _ in $(seq 600); do eval "$1" > /dev/null 2>&1 && return; sleep 0.2; done; fail "never: $1"; }
ended() { settles "http GET '/app/calls/front-desk/operations/$1' '' | grep -E '\"status\":\"(completed|failed)\"'"; http GET "/app/calls/front-desk/operations/$1" ''; }
record() { http POST /app/calls/front-desk/record "{\"playBeep\":false,\"maxRecordDurationInSeconds\":$1,\"initialSilenceTimeoutInSeconds\":60}" | member id; }

began=$(up)
dpkg -i /host/first.deb
settles 'http GET /healthz ""'
id -nG tonearm | grep -qw audio || fail 'the user is not in audio'
[ "$(stat -c %U:%G:%a /etc/tonearm/tonearm.toml)" = root:tonearm:640 ] || fail 'the configuration is not its group'"'"'s'
TOKEN=$(journalctl -u tonearm -o cat | sed -n 's/.*shown only now: //p')
[ -n "$TOKEN" ] || fail 'no token was shown'
settles 'http GET /readyz "" | grep "\"ready\":true"'
operation=$(ended "$(record 2)")
[ "$(member completionReason <<< "$operation")" = maxRecordDurationReached ] || fail "$operation"
echo "from the package to a recording of 2 s: $(echo "$(up) $began" | awk '{print $1 - $2}') s"

# An upgrade while it records keeps what was recorded, what was configured, and who may ask.
sed -i 's/^# shutdown_seconds = 10.*/shutdown_seconds = 9/' /etc/tonearm/tonearm.toml
running=$(record 600); sleep 2
dpkg --force-confold -i /host/next.deb
settles 'http GET /healthz ""'
operation=$(ended "$running")
grep -q '"completionReason":"operationCanceled"' <<< "$operation" && grep -q '"frames":[1-9]' <<< "$operation" || fail "$operation"
[ "$(dpkg-query -W -f '${Version}' tonearm)" = 99.0 ] && grep -q '^shutdown_seconds = 9' /etc/tonearm/tonearm.toml || fail 'not upgraded as it should'
echo "an upgrade while it records: $(member message <<< "$operation")"

# So does its removal, and a purge leaves recordings alone.
settles 'http GET /readyz "" | grep "\"ready\":true"'
running=$(record 600); sleep 2
dpkg -r tonearm
! pgrep -x tonearm && [ ! -e /usr/bin/tonearm ] || fail 'it is still there'
file=$(find /var/lib -name "$running.wav")
[ -s "$file" ] && ! find /var/lib -name '*.part' | grep . || fail 'the recording was not finished'
dpkg -P tonearm
[ ! -e /etc/tonearm ] && [ -s "$file" ] || fail 'purged too much, or too little'
echo "removed and purged: $(stat -c %s "$file") bytes of the recording that ran are still there"
GUEST
"$here/vm.sh" run "${SECONDS_LIMIT:-600}" "$share" bash /host/guest
