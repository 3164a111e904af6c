#!/usr/bin/env bash
# A virtual machine with sound cards of the kernel and systemd (Debian 12), for hosts that have neither. It is emulated: slow,
# but it runs everywhere, in containers, too.
#   vm.sh build                what it is made of, once, from Debian packages into target/vm
#   vm.sh run SECONDS DIR CMD  boots a throw-away copy in which DIR is /host, and runs CMD there by bash as root; prints what
#                              it says, and ends as it ends
# In it: snd-aloop as cards Loopback and Loopback1 (what is played to DEV=0 is heard on DEV=1), and the modules of USB sound and USB/IP.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
vm=${VM_DIR:-$here/../target/vm}
packages=ca-certificates,systemd,systemd-sysv,udev,dbus,kmod,alsa-utils,libasound2,procps,perl-base,linux-image-amd64,initramfs-tools

build() {
  "$here/need.sh" qemu-system-x86_64:qemu-system-x86 /usr/share/seabios/bios.bin:seabios mmdebstrap mke2fs:e2fsprogs
  [ -f "$vm/rootfs.ext4" ] && return
  mkdir -p "$vm"; local root=$vm/root; rm -rf "$root"
  # The hook runs in the new tree before it is packed.
  # shellcheck disable=SC2016
  mmdebstrap --variant=minbase --include="$packages" \
    --essential-hook='c="$1/etc/initramfs-tools"; mkdir -p "$c/conf.d"; printf "MODULES=list\nCOMPRESS=lz4\n" > "$c/conf.d/vm.conf"; printf "virtio_pci\nvirtio_blk\next4\n9p\n9pnet_virtio\n" > "$c/modules"' \
    --aptopt='Acquire::Languages "none"' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' bookworm "$root"
  cp "$root"/boot/vmlinuz-* "$vm/vmlinuz"; cp "$root"/boot/initrd.img-* "$vm/initrd.img"; rm -f "$root"/boot/initrd.img-*
  echo guest > "$root/etc/hostname"; : > "$root/etc/machine-id"
  echo '/dev/vda / ext4 noatime 0 1' > "$root/etc/fstab"
  echo snd-aloop > "$root/etc/modules-load.d/sound.conf"
  echo 'options snd-aloop enable=1,1 index=0,1 id=Loopback,Loopback1 pcm_substreams=1,1' > "$root/etc/modprobe.d/sound.conf"
  mkdir -p "$root/host" "$root/etc/systemd/system/multi-user.target.wants"
  cat > "$root/etc/systemd/system/vm-run.service" <<'UNIT'
[Unit]
After=sound.target systemd-modules-load.service
[Service]
Type=oneshot
ExecStart=/usr/local/sbin/vm-run
UNIT
  cat > "$root/usr/local/sbin/vm-run" <<'RUN'
#!/bin/bash
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=none host /host
cd /host; export HOME=/root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
bash /host/.vm/cmd > /host/.vm/out 2>&1; echo $? > /host/.vm/rc
sync; systemctl poweroff --no-block -f
RUN
  chmod +x "$root/usr/local/sbin/vm-run"
  ln -sf /etc/systemd/system/vm-run.service "$root/etc/systemd/system/multi-user.target.wants/vm-run.service"
  for unit in getty.target apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer dpkg-db-backup.timer; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
  done
  truncate -s 3G "$vm/rootfs.part"; mke2fs -q -t ext4 -O ^has_journal -d "$root" "$vm/rootfs.part"
  rm -rf "$root"; mv "$vm/rootfs.part" "$vm/rootfs.ext4"
}

run() {
  local limit=$1 dir=$2; shift 2
  mkdir -p "$dir/.vm"; rm -f "$dir/.vm/"{out,rc}; printf '%s\n' "$*" > "$dir/.vm/cmd"
  # Nothing is written to the image.
  timeout "$limit" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -M q35 -m 1024 -smp 2 -nographic -no-reboot -nodefaults \
    -serial "file:$dir/.vm/console" -display none -kernel "$vm/vmlinuz" -initrd "$vm/initrd.img" \
    -append "root=/dev/vda rw console=ttyS0 quiet no_console_suspend systemd.show_status=no mitigations=off" \
    -drive "file=$vm/rootfs.ext4,if=virtio,format=raw,snapshot=on" \
    -virtfs "local,path=$dir,mount_tag=host,security_model=none" -device virtio-rng-pci < /dev/null ||
    { echo "the machine ended with $? (124: it took longer than $limit s); see $dir/.vm/console" >&2; cat "$dir/.vm/out" 2>/dev/null; return 1; }
  cat "$dir/.vm/out"
  return "$(cat "$dir/.vm/rc")"
}

case ${1:-} in
build) build ;;
run) shift; run "$@" ;;
*) sed -n 2,8p "$0"; exit 2 ;;
esac
