#!/usr/bin/env bash
# Makes sure that tools are there; installs the Debian packages of those that are not, and says so.
#   need.sh TOOL[:PACKAGE]...     TOOL is a command, a pkg-config name (pc/NAME) or an absolute path
set -euo pipefail
missing=()
for need in "$@"; do
  tool=${need%%:*} package=${need#*:}
  case $tool in
  /*) [ -e "$tool" ] ;;
  pc/*) pkg-config --exists "${tool#pc/}" 2>/dev/null ;;
  *) command -v "$tool" >/dev/null ;;
  esac || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit
if ! command -v apt-get >/dev/null; then
  echo "missing, and there is no apt-get to install it with: ${missing[*]}" >&2; exit 1
fi
as_root=()
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || { echo "missing: ${missing[*]}; install them as root" >&2; exit 1; }
  as_root=(sudo)
fi
echo "installing (apt-get, as root): ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
install() { "${as_root[@]}" apt-get install -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300 "${missing[@]}" >/dev/null; }
# The package lists of a fresh container are empty or old.
install 2>/dev/null || { "${as_root[@]}" apt-get update -qq && install; }
