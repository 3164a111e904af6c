#!/usr/bin/env bash
# Installs the pinned libraries under target/clients, once for each state of the pins.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")"
target=../../target/clients
pins=$(cat requirements.txt package-lock.json | sha256sum)
[ "$(cat $target/pins 2>/dev/null)" = "$pins" ] && exit
echo "installing Microsoft's libraries for Python and JavaScript into target/clients" >&2
mkdir -p $target
python3 -m venv $target/venv 2>/dev/null || { ../../scripts/need.sh /none:python3-venv; python3 -m venv $target/venv; }
$target/venv/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
cp package.json package-lock.json $target
npm ci --prefix $target --no-audit --no-fund --silent
echo "$pins" > $target/pins
