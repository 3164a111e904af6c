#!/usr/bin/env bash
# A virtual sound card for hosts without one: PulseAudio with a null sink whose monitor is a microphone.
#   virtual-card.sh install          its Debian packages, if they are not there
#   virtual-card.sh start DIR        starts it under DIR; then: source DIR/env
#     MIC=vmic HZ=48000 CHANNELS=2   what its microphone is called, and how the card runs
#   virtual-card.sh play DIR FILE    plays a WAV into the microphone, in real time
#   virtual-card.sh stop DIR         stops the one under DIR
# Its second microphone, "raw", hears the frames that are written into DIR/raw (16 bits, little endian), as they are.
# What is played to "vspk" is what "vmic" hears, bit for bit at 48 kHz in 16 bits.
set -euo pipefail
here=$(dirname "$(realpath "$0")")

start() {
  local dir mic=${MIC:-vmic} hz=${HZ:-48000} channels=${CHANNELS:-2}; dir=$(realpath -m "$1")
  mkdir -p "$dir/home" "$dir/run"; chmod 700 "$dir/run"
  rm -f "$dir/raw"
  cat > "$dir/card.pa" <<PA
load-module module-native-protocol-unix auth-anonymous=1 socket=$dir/native
load-module module-null-sink sink_name=vspk rate=$hz channels=$channels format=s16le norewinds=1 sink_properties=device.description=VirtualSpeaker
load-module module-remap-source source_name=$mic master=vspk.monitor rate=$hz channels=$channels source_properties=device.description=VirtualMic remix=no
load-module module-pipe-source source_name=raw file=$dir/raw rate=$hz channels=$channels format=s16le
set-default-source $mic
set-default-sink vspk
PA
  cat > "$dir/asound.conf" <<'ASOUND'
</usr/share/alsa/alsa.conf>
pcm.!default { type pulse hint { show on description "The sound server's default" } }
ctl.!default { type pulse }
pcm.vmic { type pulse device vmic hint { show on description "Virtual microphone" } }
pcm.raw { type pulse device raw hint { show on description "What is written into a pipe" } }
pcm.vspk { type pulse device vspk hint { show on description "Virtual loudspeaker" } }
ASOUND
  HOME=$dir/home XDG_RUNTIME_DIR=$dir/run setsid pulseaudio -n -F "$dir/card.pa" --exit-idle-time=-1 --daemonize=no \
    --use-pid-file=no --log-target="file:$dir/pulse.log" --log-level=notice </dev/null >/dev/null 2>&1 &
  echo $! > "$dir/pid"
  printf 'export PULSE_SERVER=unix:%s ALSA_CONFIG_PATH=%s\n' "$dir/native" "$dir/asound.conf" > "$dir/env"
  for _ in $(seq 100); do
    PULSE_SERVER=unix:$dir/native pactl info >/dev/null 2>&1 && return
    sleep 0.05
  done
  echo "the sound server did not come up; see $dir/pulse.log" >&2
  return 1
}

case ${1:-} in
install) "$here/need.sh" pulseaudio pactl:pulseaudio-utils /usr/share/alsa/alsa.conf.d/50-pulseaudio.conf:libasound2-plugins ;;
start) start "$2" ;;
play) . "$2/env"; exec paplay --device=vspk --latency-msec=500 "$3" ;;
stop) [ ! -f "$2/pid" ] || { kill "$(cat "$2/pid")" 2>/dev/null || true; rm -f "$2/pid"; } ;;
*) sed -n 2,8p "$0"; exit 2 ;;
esac
