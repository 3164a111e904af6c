#!/usr/bin/env bash
# Installs Playwright's core and axe, pinned, under target/browser; the browser is Debian's.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")"
target=../../target/browser
pins=$(sha256sum < package-lock.json)
[ "$(cat $target/pins 2>/dev/null)" = "$pins" ] && exit
echo "installing playwright-core and axe-core into target/browser" >&2
mkdir -p $target
cp package.json package-lock.json $target
PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --prefix $target --no-audit --no-fund --silent
echo "$pins" > $target/pins
