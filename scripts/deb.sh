#!/usr/bin/env bash
# Builds target/debian/tonearm_VERSION_ARCH.deb out of target/release/tonearm, and prints its name.
# VERSION=n is another version than the program's, for testing upgrades.
set -euo pipefail
cd "$(dirname "$0")/.."
version=${VERSION:-$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)}
architecture=$(dpkg --print-architecture)
program=target/release/tonearm
out=target/debian
root=$out/root
rm -rf "$root" "$out/debian"
mkdir -p "$root/DEBIAN" "$out/debian"

put() { install -D -m "$1" "$2" "$root/$3"; }
put 755 "$program" usr/bin/tonearm
strip --strip-unneeded "$root/usr/bin/tonearm"
put 644 systemd/tonearm.service usr/lib/systemd/system/tonearm.service
put 644 systemd/tonearm.socket usr/lib/systemd/system/tonearm.socket
put 644 systemd/tonearm.sysusers usr/lib/sysusers.d/tonearm.conf
# It says whose tokens are taken: for root, and for the daemon's group.
put 640 systemd/tonearm.toml etc/tonearm/tonearm.toml
for page in README.md reference/*.md; do put 644 "$page" "usr/share/doc/tonearm/$page"; done
put 644 LICENSE-MIT usr/share/doc/tonearm/copyright
rm -rf "$out/man"; "$program" man "$out/man"
for page in "$out"/man/*.1; do gzip -9n "$page"; put 644 "$page.gz" "usr/share/man/man1/${page##*/}.gz"; done
completions() { "$program" completions "$1" > "$out/completions"; put 644 "$out/completions" "$2"; }
completions bash usr/share/bash-completion/completions/tonearm
completions zsh usr/share/zsh/vendor-completions/_tonearm
completions fish usr/share/fish/vendor_completions.d/tonearm.fish
gzip -9n < CHANGELOG.md > "$out/changelog.gz" && put 644 "$out/changelog.gz" usr/share/doc/tonearm/changelog.gz

# The libraries that the program was linked with, and in which versions.
printf 'Source: tonearm\n\nPackage: tonearm\nArchitecture: any\n' > "$out/debian/control"
depends=$(cd "$out" && dpkg-shlibdeps -O --ignore-missing-info root/usr/bin/tonearm 2>/dev/null | sed 's/^shlibs:Depends=//')
cat > "$root/DEBIAN/control" <<CONTROL
Package: tonearm
Version: $version
Architecture: $architecture
Maintainer: tonearm <tonearm@localhost>
Section: sound
Priority: optional
Depends: $depends, systemd | systemd-standalone-sysusers
Recommends: ca-certificates
Installed-Size: $(du -k -s "$root" | cut -f1)
Description: records a host's microphones when asked over HTTP
 A daemon with the requests and answers of Microsoft Graph's call: record.
 Recordings end at an exact frame: at a DTMF stop tone, after silence, or
 after a time. They can be read while they grow, and a crash leaves them
 playable.
CONTROL
echo /etc/tonearm/tonearm.toml > "$root/DEBIAN/conffiles"

# The daemon is stopped as systemd stops it: what it records is finished first.
cat > "$root/DEBIAN/postinst" <<'SCRIPT'
#!/bin/sh
set -e
[ "$1" = configure ] || exit 0
systemd-sysusers tonearm.conf
chown root:tonearm /etc/tonearm/tonearm.toml
[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
if [ -n "$2" ]; then systemctl try-restart tonearm.service; else systemctl enable --now tonearm.service; fi
SCRIPT
cat > "$root/DEBIAN/prerm" <<'SCRIPT'
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
  systemctl disable --now tonearm.socket tonearm.service
fi
SCRIPT
cat > "$root/DEBIAN/postrm" <<'SCRIPT'
#!/bin/sh
set -e
# Recordings are the user's: even a purge leaves /var/lib/tonearm.
if [ "$1" = purge ]; then rm -rf /etc/tonearm; fi
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
SCRIPT
chmod 755 "$root"/DEBIAN/p*
find "$root" -type d -exec chmod 755 {} +
package=$out/tonearm_${version}_$architecture.deb
dpkg-deb --root-owner-group --build "$root" "$package" >/dev/null
echo "$package"
