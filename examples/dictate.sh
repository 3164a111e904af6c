#!/usr/bin/env bash
# Dictation: one file a thought. Speak; a pause of 3 s ends a file and begins the next; nothing said for 10 s ends it all.
#   TOKEN=… examples/dictate.sh http://127.0.0.1:8723 front-desk notes/
set -euo pipefail
base=$1 line=$2 folder=$3
mkdir -p "$folder"
ask() { curl -sS --fail-with-body -H "Authorization: Bearer $TOKEN" "$@"; }
request='{"playBeep":false,"initialSilenceTimeoutInSeconds":10,"maxSilenceTimeoutInSeconds":3,
  "maxRecordDurationInSeconds":3600,"clientContext":"dictation"}'
for number in $(seq -w 999); do
  operation=$(ask -H 'Content-Type: application/json' -d "$request" "$base/app/calls/$line/record" | jq -r .id)
  printf 'Note %s: speak … ' "$number" >&2
  while answer=$(ask "$base/app/calls/$line/operations/$operation")
    status=$(jq -r .status <<< "$answer")
    [ "$status" = running ] || [ "$status" = notStarted ]
  do sleep 0.2; done
  reason=$(jq -r .completionReason <<< "$answer")
  if [ "$status" = failed ]; then
    jq -r .resultInfo.message <<< "$answer" >&2
    [ "$reason" = initialSilenceTimeout ] && exit 0
    exit 1
  fi
  ask -o "$folder/note-$number.wav" "$(jq -r .recordingLocation <<< "$answer")"
  jq -r '"\(.recording.durationSeconds) s"' <<< "$answer" >&2
done
