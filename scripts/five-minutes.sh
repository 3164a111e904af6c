#!/usr/bin/env bash
# Measures how long it takes from an empty Debian and the package to the first recording: each command that somebody types,
# timed. What they read and think comes on top.
#   five-minutes.sh      of target/debian's package; needs root, and a Debian mirror
# The Debian is a folder that mmdebstrap fills, without systemd and without a sound card: a spoken sentence that ends with # is
# its microphone. (`make test-deb` does the same under systemd with a sound card of the kernel, in an emulated machine.)
set -euo pipefail
here=$(dirname "$(realpath "$0")"); cd "$here/.."
package=$("$here/deb.sh")
spoken=audio-fixtures/speech-then-hash-48k-mono.wav
root=$(mktemp -d); pid=
finish() { [ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf "$root"; }
trap finish EXIT
echo "an empty Debian 12 …" >&2
mmdebstrap -q --variant=minbase --aptopt='Acquire::Languages "none"' bookworm "$root" 2>/dev/null
cp "$package" "$root/root/tonearm.deb"; cp "$spoken" "$root/root/speech.wav"
cp /etc/resolv.conf "$root/etc/resolv.conf"
port=$((20000 + RANDOM % 10000))
cat > "$root/root/settings" <<SETTINGS
export TONEARM__SERVER__LISTEN=127.0.0.1:$port TONEARM__LINES__FRONT_DESK__SOURCE='wav:/root/speech.wav?pace=real'
SETTINGS
in_it() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME=/root DEBIAN_FRONTEND=noninteractive bash -c ". /root/settings; $1"; }

all=0
now() { cut -d' ' -f1 /proc/uptime; }
step() {
  local began; began=$(now)
  "${@:2}"
  local took; took=$(echo "$(now) $began" | awk '{printf "%.1f", $1 - $2}')
  all=$(echo "$all $took" | awk '{print $1 + $2}')
  printf '%6.1f s  %s\n' "$took" "$1"
}
install_it() { in_it 'apt-get -qq update && apt-get -qq install -y --no-install-recommends /root/tonearm.deb' > "$root/root/log" 2>&1 || { cat "$root/root/log" >&2; exit 1; }; }
check_it() { in_it 'tonearm check --config /etc/tonearm/tonearm.toml' >&2 || true; }
serve_it() {
  in_it 'exec tonearm serve --config /etc/tonearm/tonearm.toml > /root/out 2> /root/words' & pid=$!
  for _ in $(seq 200); do grep -q listens "$root/root/out" 2>/dev/null && return; sleep 0.05; done
  cat "$root/root/words" >&2; exit 1
}
# There is no curl on a Debian this small.
http() {
  exec 3<>"/dev/tcp/127.0.0.1/$port"
  printf '%s %s HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s' \
    "$1" "$2" "$token" "${#3}" "$3" >&3
  cat <&3; exec 3>&-
}
record_it() {
  token=$(sed -n 's/.*shown only now: //p' "$root/root/words")
  local id; id=$(http POST /app/calls/front-desk/record '{"playBeep":false,"stopTones":["#"]}' | grep -o '"id":"[^"]*"' | cut -d'"' -f4)
  for _ in $(seq 200); do
    operation=$(http GET "/app/calls/front-desk/operations/$id" '')
    grep -qE '"status":"(completed|failed)"' <<< "$operation" && break
    sleep 0.05
  done
  grep -q '"completionReason":"stopToneDetected"' <<< "$operation" || { echo "$operation" >&2; exit 1; }
  [ -s "$(find "$root/var/lib/tonearm/recordings" -name "$id.wav")" ]
}

step 'apt install ./tonearm.deb, with what it needs' install_it
step 'tonearm check' check_it
step 'tonearm serve, until it listens and has shown its token' serve_it
step 'POST …/record, until # after a spoken sentence has ended it' record_it
printf '%6.1f s  from an empty Debian to the first recording\n' "$all"
