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
TOKEN=
up() { cut -d' ' -f1 /proc/uptime; }
fail() { echo "FAILED: $*"; systemctl status --no-pager tonearm || true; journalctl -u tonearm --no-pager | tail -20; exit 1; }
# There is no curl on a Debian this small.
http() {
  exec 3<>$URL
  printf '%s %s HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s' \
    "$1" "$2" "$TOKEN" "${#3}" "$3" >&3
  timeout 10 cat <&3; exec 3>&-
}
member() { grep -o "\"$1\":\"[^\"]*\"" | head -1 | cut -d'"' -f4; }
settles() {
  local until=$(($(up | cut -d. -f1) + 90))
  until eval "$1" > /dev/null 2>&1; do
    [ "$(up | cut -d. -f1)" -lt $until ] || fail "never: $1"
    sleep 0.2
  done
}
ended() { settles "http GET '/app/calls/front-desk/operations/$1' '' | grep -E '\"status\":\"(completed|failed)\"'"; http GET "/app/calls/front-desk/operations/$1" ''; }
record() { http POST /app/calls/front-desk/record "{\"playBeep\":false,\"maxRecordDurationInSeconds\":$1,\"initialSilenceTimeoutInSeconds\":60}" | member id; }

for file in man/man1/tonearm.1.gz man/man1/tonearm-record.1.gz bash-completion/completions/tonearm \
  zsh/vendor-completions/_tonearm fish/vendor_completions.d/tonearm.fish; do
  dpkg-deb -c /host/first.deb | grep "usr/share/$file\$" > /dev/null || fail "the package has no $file"
done
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
http GET /readyz '' | grep '"realTime":true' > /dev/null || fail 'its threads have no real-time priority'
# As the daemon's user, and with what the unit grants; nobody keeps this machine's clock right.
checked=$(systemd-run -qP -p DynamicUser=yes -p User=tonearm -p StateDirectory=tonearm -p SupplementaryGroups=audio \
  -p LimitRTPRIO=20 tonearm check 2>&1 || true)
[ "$(grep '^to do' <<< "$checked" | grep -vc '^to do  clock')" = 0 ] && grep '^ok .*the daemon says that it is ready' <<< "$checked" > /dev/null ||
  fail "check says: $checked"
echo "$checked"

# With the socket unit a request starts it, and it listens where systemd does.
systemctl -q stop tonearm; systemctl -q start tonearm.socket
[ "$(systemctl is-active tonearm)" = inactive ] || fail 'it runs before anybody has asked'
settles 'http GET /healthz "" | grep ok'
systemctl -q is-active tonearm || fail 'something else answers'
systemctl -q stop tonearm.socket tonearm; systemctl -q start tonearm
settles 'http GET /readyz "" | grep "\"ready\":true"'
echo 'a request to the socket started it'

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
