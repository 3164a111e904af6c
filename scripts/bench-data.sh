#!/usr/bin/env bash
# Fetches voices and music that nobody here made, from Debian packages, into target/bench-data: one WAV an origin, in
# which no key is pressed. Nothing is installed; what is there already stays.
#   bench-data.sh [DIR]
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/.."
out=$(realpath -m "${1:-target/bench-data}"); mkdir -p "$out/packages"
export SOX_OPTS="-R -D -V1"

# Unpacks a package, once.
package() {
  [ -d "$out/packages/$1" ] && return
  echo "fetching $1" >&2
  (cd "$out/packages" && apt-get download -qq -o APT::Sandbox::User=root "$1" && dpkg -x "$1"_*.deb "$1.part" && rm "$1"_*.deb && mv "$1.part" "$1") ||
    echo "$1 cannot be fetched: left out" >&2
}
# Puts all sound files of a package that match a pattern into one WAV at a rate, with 0.2 s between them.
origin() { # NAME RATE PACKAGE PATTERN...
  local name=$1 rate=$2 from=$out/packages/$3; shift 3
  [ -e "$out/$name.wav" ] && return
  [ -d "$from" ] || return 0
  find "$from" -type f -regextype egrep -regex "$1" -print0 | sort -z |
    while IFS= read -r -d '' file; do sox "$file" -t raw -r "$rate" -c 1 -b 16 -e signed - pad 0 0.2 2>/dev/null || true; done |
    sox -t raw -r "$rate" -c 1 -b 16 -e signed - "$out/$name.part.wav"
  mv "$out/$name.part.wav" "$out/$name.wav"
}

for language in en es fr it ru; do
  package asterisk-core-sounds-$language-wav
  origin "prompts-$language" 8000 asterisk-core-sounds-$language-wav '.*\.wav'
done
package asterisk-moh-opsound-wav; origin hold-music 8000 asterisk-moh-opsound-wav '.*\.wav'
package fillets-ng-data;          origin game-fillets-voices 22050 fillets-ng-data '.*/sound/.*\.ogg'
                                  origin game-fillets-music 44100 fillets-ng-data '.*/music/.*\.ogg'
package hedgewars-data;           origin game-hedgewars-voices 44100 hedgewars-data '.*/Sounds/voices/.*\.ogg'
package klettres-data;            origin game-klettres-letters 44100 klettres-data '.*\.(ogg|wav|mp3)'

# Text to speech in three men's and three women's variants: words of a list in sixes, if there is a list, and numbers.
speak() { # LANGUAGE [PACKAGE LIST]
  local file=$out/speech-$1.wav list=/dev/null step=137 variants=(m1 f1 m3 f2 m7 f4) count n
  [ -e "$file" ] && return
  if [ -n "${2:-}" ]; then
    package "$2"
    list=$(realpath -e "$out/packages/$2/usr/share/dict/$3") || return 0
  else
    step=31
  fi
  count=$(wc -l < "$list")
  for n in "${!variants[@]}"; do
    { awk -v step=$((count / 150 + 1)) -v first="$n" 'NR % step == first' "$list" | paste -sd '     .' ; seq -s ', ' $((1000 + n)) "$step" 9999; } |
      espeak-ng -v "$1+${variants[n]}" -s $((130 + 15 * n)) --stdin -w "$out/say-$n.wav"
  done
  sox "$out"/say-[0-9].wav "$out/speech-$1.part.wav"; rm "$out"/say-[0-9].wav; mv "$out/speech-$1.part.wav" "$file"
}
while read -r language package list; do speak "$language" $package $list; done <<END
bg wbulgarian bulgarian
ca wcatalan catalan
da wdanish danish
de wngerman ngerman
en-gb wbritish british-english
en-us wamerican american-english
eo wesperanto esperanto
es wspanish spanish
fr wfrench french
ga wirish irish
gd wgaelic gaelic
it witalian italian
nb wnorwegian bokmaal
pl wpolish polish
pt wportuguese portuguese
pt-br wbrazilian brazilian
sv wswedish swedish
uk wukrainian ukrainian
cmn
cs
el
fi
hi
hu
ru
tr
END

for file in "$out"/*.wav; do
  seconds=$(soxi -D "$file")
  printf '  %-24s %6.2f h at %5d Hz\n' "$(basename "$file" .wav)" "$(awk "BEGIN { print $seconds / 3600 }")" "$(soxi -r "$file")"
done | tee "$out/manifest.txt"
awk '{ sum += $2 } END { printf "  %-24s %6.2f h\n", "all", sum }' "$out/manifest.txt"
