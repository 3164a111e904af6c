#!/usr/bin/env bash
# Records a spoken sentence that ends with the # key, over HTTP, while it streams; then checks the file against what was
# spoken. The microphone is a virtual one, unless DEVICE names another (DEVICE=default is the host's own: then it is you
# who speaks, and # is anything that plays that tone).
set -euo pipefail
root=$(dirname "$(dirname "$(realpath "$0")")"); cd "$root"
device=${DEVICE:-} port=${PORT:-8723} started=$SECONDS
work=$(mktemp -d); jobs=()
[ -t 1 ] && [ -z "${NO_COLOR:-}" ] && bold=$'\e[1m' plain=$'\e[0m' || bold='' plain=''

stop() {
  local pid
  for pid in "${jobs[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  [ ! -d "$work/card" ] || scripts/virtual-card.sh stop "$work/card"
  rm -rf "$work"
}
trap stop EXIT
step() { printf '%s%s%s\n' "$bold" "$*" "$plain"; }
fail() { echo "demo: $*" >&2; [ -s "$work/serve.log" ] && sed 's/^/  tonearm: /' "$work/serve.log" >&2; exit 1; }

# --- what it takes
command -v cargo >/dev/null || fail "there is no cargo; https://rustup.rs installs it"
scripts/need.sh cc:build-essential pkg-config pc/alsa:libasound2-dev curl jq
[ -n "$device" ] || scripts/virtual-card.sh install
step "Building tonearm (a first build takes minutes)"
cargo build --release --quiet
tonearm=${CARGO_TARGET_DIR:-target}/release/tonearm

# --- a microphone
spoken=audio-fixtures/speech-then-hash-48k-mono.wav
if [ -z "$device" ]; then
  step "A virtual microphone"
  scripts/virtual-card.sh start "$work/card"; . "$work/card/env"
  device=vmic own=
else
  own=yes
fi

# --- the daemon, with one line and one application
token=$(head -c 24 /dev/urandom | base64 | tr -d '/+=')
cat > "$work/tonearm.toml" <<TOML
[server]
listen = "127.0.0.1:$port"
[storage]
directory = "$work/data"
[lines.desk]
source = "device:$device"
channels = [1]
[[applications]]
id = "demo"
roles = ["Calls.AccessMedia.All"]
token_sha256 = "$(printf %s "$token" | sha256sum | cut -d' ' -f1)"
TOML
step "tonearm serve, line desk = device:$device"
"$tonearm" serve --config "$work/tonearm.toml" > "$work/serve.out" 2> "$work/serve.log" & jobs+=($!)
base=http://127.0.0.1:$port
ask() { curl -sS --max-time 10 -H "Authorization: Bearer $token" "$@"; }
for _ in $(seq 100); do
  curl -sf --max-time 1 "$base/readyz" >/dev/null && break
  kill -0 "${jobs[0]}" 2>/dev/null || fail "the daemon ended"
  sleep 0.1
done
curl -sf --max-time 1 "$base/readyz" >/dev/null || fail "the line is not ready: $(curl -s "$base/readyz")"
head -1 "$work/serve.out"

# --- record
request='{"stopTones":["#"],"playBeep":false,"streamWhileRecording":true,"maxRecordDurationInSeconds":60,"initialSilenceTimeoutInSeconds":10,"clientContext":"make demo"}'
step "POST /app/calls/desk/record"
echo "  $request"
ask -X POST -H 'Content-Type: application/json' -d "$request" -D "$work/head" -o "$work/operation.json" "$base/app/calls/desk/record"
head -1 "$work/head" | sed 's/^/  /'
grep -q '^HTTP/1.1 202' "$work/head" || fail "it was refused: $(cat "$work/operation.json")"
operation=$base/app/calls/desk/operations/$(jq -r .id "$work/operation.json")
location=null
for _ in $(seq 50); do
  ask -o "$work/operation.json" "$operation"
  location=$(jq -r .recordResourceLocation "$work/operation.json")
  [ "$location" != null ] && break
  sleep 0.1
done
[ "$location" != null ] || fail "there is no stream: $(cat "$work/operation.json")"
ask -N --max-time 120 -o "$work/stream.wav" "$location" & jobs+=($!); stream=$!
ask -N --max-time 120 -o "$work/events" "$base/events" 2>/dev/null & jobs+=($!)
if [ -z "$own" ]; then
  step "Playing $spoken into the microphone"
  scripts/virtual-card.sh play "$work/card" "$spoken" & jobs+=($!)
else
  step "Speak now; recording ends with #, or 5 s after the last word"
fi

# --- watch it
bar() { awk -v db="$1" 'BEGIN { n = int((db + 60) / 2); n = n < 0 ? 0 : n > 30 ? 30 : n; s = ""; for (i = 0; i < 30; i++) s = s (i < n ? "#" : "."); print s }'; }
status=running
while [ "$status" = running ] || [ "$status" = notStarted ]; do
  level=$(tail -c 4096 "$work/events" 2>/dev/null | sed -n 's/^data: *//p' | jq -rR 'fromjson? | [.. | objects | .rmsDbfs? // empty] | first // empty' 2>/dev/null | tail -1) || level=
  printf '  level %6.1f dBFS %s  stream %8d bytes\n' "${level:--99}" "$(bar "${level:--99}")" "$(stat -c %s "$work/stream.wav" 2>/dev/null || echo 0)"
  sleep 0.25
  ask -o "$work/operation.json" "$operation"
  status=$(jq -r .status "$work/operation.json")
  [ $((SECONDS - started)) -lt 900 ] || fail "it does not end"
done
wait "$stream" || fail "the stream was cut"

# --- what came of it
step "The operation"
jq . "$work/operation.json"
[ "$status" = completed ] || fail "the operation failed"
ask -o "$work/final.wav" "$(jq -r .recordResourceLocation "$work/operation.json")"

# The samples of a WAV: what follows the data chunk's head.
raw() { tail -c +$(($({ LC_ALL=C grep -abo data "$1" || true; } | head -1 | cut -d: -f1) + 9)) "$1"; }
raw "$work/final.wav" > "$work/final.raw"; raw "$work/stream.wav" > "$work/stream.raw"
step "The waveform"
columns=100
samples=$(($(stat -c %s "$work/final.raw") / 2))
od -An -v -td2 -w2 "$work/final.raw" | awk -v columns=$columns -v samples="$samples" '
  { x = int((NR - 1) * columns / samples); v = $1 < 0 ? -$1 : $1; if (v > peak[x]) peak[x] = v }
  END { for (row = 8; row >= 1; row--) { line = "  "; for (x = 0; x < columns; x++) line = line (peak[x] > 32768 * 0.5 * (row - 0.5) / 8 ? "|" : row == 1 ? "." : " "); print line } }'

step "Checks"
check() { printf '  %s\n' "$*"; }
sum=$(sha256sum < "$work/final.raw" | cut -d' ' -f1)
[ "$sum" = "$(jq -r .recording.sha256 "$work/operation.json")" ] || fail "the file's sha256 is not the operation's"
check "sha256 of the samples is the operation's: ${sum:0:16}…"
cmp -s "$work/stream.raw" "$work/final.raw" || fail "the stream is not the file"
check "the stream, fetched while it grew, is the file: $(stat -c %s "$work/stream.raw") bytes of samples"
if [ -z "$own" ]; then
  raw "$spoken" > "$work/spoken.raw"
  # Before the sentence there is digital silence; its first sample that is not zero is where the two are laid together.
  first() { { LC_ALL=C cmp "$1" /dev/zero || true; } | sed 's/.*differ: [a-z]* \([0-9]*\),.*/\1/'; }
  at=$(($(first "$work/final.raw") - $(first "$work/spoken.raw")))
  tail -c +$((at + 1)) "$work/final.raw" > "$work/heard.raw"
  heard=$(stat -c %s "$work/heard.raw")
  cmp -n "$heard" "$work/heard.raw" "$work/spoken.raw" || fail "what was recorded is not what was played"
  check "sample for sample what was played: $((heard / 2)) of $(($(stat -c %s "$work/spoken.raw") / 2)) frames, the rest is the # and what follows it"
  [ "$(jq -r .completionReason "$work/operation.json")" = stopToneDetected ] || fail "it did not end with the #"
  # The # begins at frame 84,988 of the sentence (audio-fixtures/manifest.toml).
  off=$((heard / 2 - 84988))
  [ $off -ge -480 ] && [ $off -le 48 ] || fail "it was cut $off frames from where the # begins"
  check "cut $off frames ($((off * 1000 / 48)) µs) from where the # begins"
fi
step "Done in $((SECONDS - started)) s; everything that was started is stopped"
