#!/usr/bin/env bash
# Makes audio-fixtures/*.wav: speech by espeak-ng, keys and noise by sox, put together at known frames.
# The same versions of both tools give the same bytes (sox's noise and dither are seeded alike on every run).
#   fixtures.sh [DIR]      default audio-fixtures; prints where each part begins
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/.."
out=$(realpath -m "${1:-audio-fixtures}"); mkdir -p "$out"
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT

# The same random numbers on every run, and no dither: digital silence stays silent.
export SOX_OPTS="-R -D"

declare -A LOW=([1]=697 [2]=697 [3]=697 [A]=697 [4]=770 [5]=770 [6]=770 [B]=770 [7]=852 [8]=852 [9]=852 [C]=852 ['*']=941 [0]=941 ['#']=941 [D]=941)
declare -A HIGH=([1]=1209 [4]=1209 [7]=1209 ['*']=1209 [2]=1336 [5]=1336 [8]=1336 [0]=1336 [3]=1477 [6]=1477 [9]=1477 ['#']=1477 [A]=1633 [B]=1633 [C]=1633 [D]=1633)
rate=8000 parts=() at=0 log=

new() { rate=$1; parts=(); at=0; log=; }
# The part is in $tmp/part.wav: to the end of what there is.
append() {
  local file=$tmp/${#parts[@]}.wav frames
  mv "$tmp/part.wav" "$file"; parts+=("$file"); frames=$(soxi -s "$file")
  log+="$(printf '  %-14s %7d .. %7d' "$1" "$at" $((at + frames)))"$'\n'; at=$((at + frames))
}
frames() { echo $(($1 * rate / 1000)); }
quiet() { sox -r "$rate" -n -c 1 -b 16 "$tmp/part.wav" trim 0 "$(frames "$1")s"; append "quiet $1"; }
key() { # KEY MS [LEVEL of each tone in dBFS]
  sox -r "$rate" -n -c 1 -b 16 "$tmp/part.wav" synth "$(frames "$2")s" sine "${LOW[$1]}" sine "${HIGH[$1]}" channels 2 remix 1v0.5,2v0.5 gain "$((${3:--9} + 6))"
  append "key $1 $2"
}
say() { # WORDS [LEVEL of the peak in dBFS]
  espeak-ng -v en-gb -s 165 -w "$tmp/say.wav" "$1"
  # Its own silence at both ends is cut, so that the words begin at the part's first frame.
  sox "$tmp/say.wav" -r "$rate" -c 1 -b 16 "$tmp/part.wav" silence 1 0.01 -50d reverse silence 1 0.01 -50d reverse gain -n "${2:--8}"
  append say
}
# Joins the parts, over noise of a level (RMS of white noise, dBFS of its peak), if any.
mono() { # NAME [NOISE]
  sox "${parts[@]}" -r "$rate" -b 16 "$tmp/clean.wav"
  if [ -n "${2:-}" ]; then
    sox -r "$rate" -n -c 1 -b 16 "$tmp/noise.wav" synth "${at}s" whitenoise gain "$2"
    sox -m -v 1 "$tmp/clean.wav" -v 1 "$tmp/noise.wav" -b 16 "$out/$1.wav"
  else
    cp "$tmp/clean.wav" "$out/$1.wav"
  fi
  printf '%s.wav: %d frames at %d Hz\n%s' "$1" "$at" "$rate" "$log"
}
stereo_left() { # NAME NOISE: what there is on the left, noise alone on the right
  mono left-only > "$tmp/log"
  sox -r "$rate" -n -c 1 -b 16 "$tmp/right.wav" synth "${at}s" whitenoise gain "$2"
  sox -M "$out/left-only.wav" "$tmp/right.wav" -b 16 "$out/$1.wav"; rm "$out/left-only.wav"
  printf '%s.wav, left; noise on the right:\n' "$1"; tail -n +2 "$tmp/log"
}

new 48000; quiet 300; say "Please call me back."; quiet 350; key '#' 120; quiet 300;           mono speech-then-hash-48k-mono -55
new 16000; quiet 500; say "Good morning. Please call me back after lunch."; quiet 700; key '#' 100; quiet 1000; mono speech-then-hash-16k-mono -50
new 16000; quiet 200; say "Good morning."; quiet 7900;                                         mono speech-then-8s-noise-16k-mono -50
new 16000; quiet 200
say "The quick brown fox jumps over the lazy dog, while nine or ten others look on from the far side of a field in which nothing much had happened since spring."
mono speech-continuous-16k-mono
new 44100; quiet 300; key 1 100; quiet 200; key 1 100; quiet 500;                              stereo_left sequence-11-44k1-stereo -60
new 96000; quiet 100; say "Yes."; quiet 300; key '*' 100; quiet 150;                           mono speech-then-star-96k-mono -60
new 8000; quiet 200; for k in 1 2 3 A 4 5 6 B 7 8 9 C '*' 0 '#' D; do key "$k" 70; quiet 70; done; quiet 200; mono digits-all-8k-mono
new 8000; quiet 6000;                                                                          mono silence-6s-8k-mono
new 8000; quiet 6000;                                                                          mono noise-6s-8k-mono -55
new 8000; key '#' 100; quiet 900;                                                              mono hash-from-the-first-frame-8k-mono
new 8000; quiet 500; key 5 1500; quiet 500; key 5 80; quiet 500;                               mono long-press-5-then-5-8k-mono -60
new 8000; quiet 500; key '#' 18; quiet 500; key '#' 100 -40; quiet 500;                        mono too-short-hash-then-soft-hash-8k-mono
new 8000; quiet 500; say "Well." -28; quiet 1000; key 9 60; quiet 60; key 1 60; quiet 60; key 1 60; quiet 800; mono faint-speech-then-911-8k-mono -62
