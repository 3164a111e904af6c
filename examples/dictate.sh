#!/usr/bin/env bash
# Dictation: one file a thought. Speak; a pause of 3 s ends a file and begins the next; nothing said for 10 s ends it all.
# The next one waits behind the one that runs and begins at the very frame at which that ends: no word is lost between.
#   TOKEN=… examples/dictate.sh http://127.0.0.1:8723 front-desk notes/
set -euo pipefail
base=$1 line=$2 folder=$3
mkdir -p "$folder"
ask() { curl -sS --fail-with-body -H "Authorization: Bearer $TOKEN" "$@"; }
request='{"playBeep":false,"initialSilenceTimeoutInSeconds":10,"maxSilenceTimeoutInSeconds":3,
  "maxRecordDurationInSeconds":3600,"clientContext":"dictation"}'
record() { ask -H 'Content-Type: application/json' -d "$request" "$base/app/calls/$line/record" | jq -r .id; }
operations=$base/app/calls/$line/operations
operation=$(record)
for number in $(seq -w 999); do
  next=$(record)
  printf 'Note %s: speak … ' "$number" >&2
  while answer=$(ask "$operations/$operation") && [[ $(jq -r .status <<< "$answer") = @(running|notStarted) ]]; do sleep 0.2; done
  if [ "$(jq -r .status <<< "$answer")" = failed ]; then
    ask -X DELETE "$operations/$next"
    jq -r .resultInfo.message <<< "$answer" >&2
    [ "$(jq -r .completionReason <<< "$answer")" = initialSilenceTimeout ]; exit
  fi
  ask -o "$folder/note-$number.wav" "$(jq -r .recordingLocation <<< "$answer")"
  jq -r '"\(.recording.durationSeconds) s"' <<< "$answer" >&2
  operation=$next
done
