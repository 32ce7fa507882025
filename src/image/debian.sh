#!/bin/bash
# Build a bootable Debian disk image from packages:  bash debian.sh SUITE OUT.qcow2
#
# No loop device, no device mapper, no mount of the image: mmdebstrap fills a directory, `mke2fs -d` turns it into a file
# system inside a sparse disk file, and GRUB's two boot sectors are written by hand. GRUB lives INSIDE the disk and reads the
# guest's own /boot, so a kernel upgraded inside the guest is what the next boot runs.
#
# Needs root and: mmdebstrap e2fsprogs fdisk qemu-utils; on Ubuntu also debian-archive-keyring.
# Optional environment:
#   SEEDBED_MIRROR            archive to use (else: what this host's apt uses for Debian, else: mmdebstrap's default)
#   SEEDBED_SECURITY_MIRROR   archive of SUITE-security, when SEEDBED_MIRROR is set ("none": no security suite)
#   SEEDBED_KEYRING           archive keyring (default: Debian's)
#   SEEDBED_IMAGE_SIZE        virtual size in MiB, default 2048
#   SEEDBED_EXTRA_PACKAGES    comma separated
#   SEEDBED_KERNEL            kernel package, default linux-image-cloud-amd64
#   SEEDBED_CLOUD_INIT        "none": without cloud-init, with ifupdown, as `launch --offline` is for
#   SEEDBED_COMPRESS          not empty: compress the image (smaller and slower)
#   SEEDBED_BUILD_DIR         where to work (needs 2 GB; default: next to OUT)
#   SOURCE_DATE_EPOCH         fixes time stamps and the ids of the file system and disk
set -eu
umask 022
export LC_ALL=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

phases=7
phase() { echo "seedbed-build: [$1/$phases] $2"; }              # one line per phase, for the caller's progress display
die() { echo "seedbed-build: error: $*" >&2; exit 1; }

[ $# = 2 ] || die "usage: $0 SUITE OUT.qcow2"
suite=$1 out=$2
case $suite in bullseye|bookworm|trixie) ;; *) die "unknown suite '$suite' (bullseye, bookworm, trixie)" ;; esac
[ "$(id -u)" = 0 ] || die "must be root"
[ "$(uname -m)" = x86_64 ] || die "builds amd64 images on amd64 hosts only"
[ -d "$(dirname "$out")" ] || die "no directory $(dirname "$out")"
for tool in mmdebstrap:mmdebstrap mke2fs:e2fsprogs sfdisk:fdisk setsid:util-linux flock:util-linux qemu-img:qemu-utils; do
    command -v "${tool%%:*}" >/dev/null || die "${tool%%:*} not found: install ${tool##*:}"
done
keyring=${SEEDBED_KEYRING:-/usr/share/keyrings/debian-archive-keyring.gpg}
[ -r "$keyring" ] || die "$keyring not found: install debian-archive-keyring"
size_mib=${SEEDBED_IMAGE_SIZE:-2048}
case ${SEEDBED_CLOUD_INIT:-} in
    none) agent=none ;;
    '') agent=cloud-init ;;
    *) die "SEEDBED_CLOUD_INIT must be none or empty" ;;
esac
[ "$size_mib" -ge 1024 ] || die "SEEDBED_IMAGE_SIZE must be at least 1024"

# All work is in one directory; it is removed whatever happens. OUT appears by rename, complete or not at all.
out=$(realpath "$out")
place=$(realpath "${SEEDBED_BUILD_DIR:-$(dirname "$out")}")
work= child= log= starting=
# mmdebstrap mounts in a mount namespace of its own; should that ever leak, do not delete through a mount
discard() {
    awk -v w="$1/" 'index($2, w) == 1 {print $2}' /proc/self/mounts | sort -r | while read -r m; do umount -l "$m"; done
    rm -rf --one-file-system "$1"
}
group_lives() { kill -0 -- "-$child" 2>/dev/null; }
cleanup() {
    status=$?
    # From here nothing may end this shell early: not a failing command, not a second Ctrl-C, not the caller's closed pipes.
    set +e; trap '' PIPE INT TERM HUP; trap - EXIT
    child=${child:-${starting:+$!}}
    if [ -n "$child" ]; then                                    # mmdebstrap, apt, dpkg: one process group, see setsid below
        kill -- "-$child" 2>/dev/null || kill "$child" 2>/dev/null
        for _ in 1 2 3 4 5 6 7 8 9 10; do group_lives || break; sleep 0.2; done
        kill -KILL -- "-$child" 2>/dev/null
        for _ in 1 2 3 4 5 6 7 8 9 10; do group_lives || break; sleep 0.1; done
    fi
    if [ -n "$work" ]; then
        if [ $status != 0 ] && [ -s "$work/log" ]; then log=$(tail -n 25 "$work/log"); fi
        discard "$work" || { sleep 1; discard "$work"; }        # someone of the group wrote until now
    fi
    # Only now, because nobody may be there to read it.
    if [ -n "$log" ]; then printf '%s\nseedbed-build: failed\n' "$log" >&2; fi
    exit $status
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 141' PIPE                                            # the caller is gone: a progress line found no reader
trap 'exit 143' TERM                                            # also: the caller is gone, see --pdeathsig in build.rs

# A build holds a lock on its directory, through every process it starts. A directory that nobody holds was left by a crash
# of the machine or by SIGKILL: it goes now. The lock on $place keeps a build from sweeping one that is just being made.
exec 8<"$place"
flock 8
for old in "$place"/.seedbed-build.*; do
    [ -d "$old" ] || continue
    { ( flock -n 9 && discard "$old" ) 9<"$old"; } 2>/dev/null || :
done
work=$(mktemp -d "$place/.seedbed-build.XXXXXX")
exec 9<"$work"
flock 9
exec 8<&-
root=$work/root disk=$work/disk.raw
mkdir "$root" "$work/files"

phase 1 "choosing package sources for Debian $suite"
# A Debian host: the archive its own apt already uses. (On any other host these stay empty.)
mirror=${SEEDBED_MIRROR:-} security=${SEEDBED_SECURITY_MIRROR:-}
if [ -z "$mirror" ]; then
    apt-get indextargets --format '$(LABEL)|$(REPO_URI)' 'Created-By: Packages' >"$work/targets" 2>/dev/null || true
    mirror=$(sed -n 's/^Debian|//p' "$work/targets" | head -n 1)
    [ -n "$security" ] || security=$(sed -n 's/^Debian-Security|//p' "$work/targets" | head -n 1)
fi
sources=()                                                      # empty: mmdebstrap's built-in defaults
if [ -n "$mirror" ]; then
    sources+=("deb [signed-by=$keyring] $mirror $suite main" "deb [signed-by=$keyring] $mirror $suite-updates main")
    if [ -n "$security" ] && [ "$security" != none ]; then
        sources+=("deb [signed-by=$keyring] $security $suite-security main")
    fi
fi
# The host's proxy and clock settings are needed to download, but must not stay in the image (99mmdebstrap is removed below).
apt_options=()
while read -r option; do apt_options+=("--aptopt=$option"); done < <(apt-config dump 2>/dev/null |
    grep -E '^Acquire::(http::Proxy|https::Proxy|Check-Valid-Until|Check-Date|Retries) "[^"]+"')

# ---- Files that must be there before the packages are configured (so that the initramfs is built once, small).
early=$work/files/early late=$work/files/late
put() { mkdir -p "$(dirname "$1")"; cat >"$1"; }
put "$early/etc/initramfs-tools/conf.d/seedbed" <<'EOF'
# Only what a QEMU guest's disk needs; no resume device (looking for one costs 30 s at boot).
MODULES=list
RESUME=none
COMPRESS=zstd
EOF
put "$early/usr/share/initramfs-tools/modules.d/seedbed" <<'EOF'
virtio_pci
virtio_blk
virtio_scsi
sd_mod
nvme
ahci
ata_piix
ext4
EOF
put "$early/etc/dpkg/dpkg.cfg.d/seedbed" <<'EOF'
# A small image: no manuals, no translations. Delete this file to get them with packages installed later.
path-exclude=/usr/share/man/*
path-exclude=/usr/share/doc/*
path-include=/usr/share/doc/*/copyright
path-exclude=/usr/share/locale/*
path-exclude=/usr/share/info/*
EOF
put "$early/etc/fstab" <<'EOF'
EOF

# ---- Files of the finished image.
put "$late/etc/default/grub.d/seedbed.cfg" <<'EOF'
GRUB_TIMEOUT=0
GRUB_RECORDFAIL_TIMEOUT=0
GRUB_DISTRIBUTOR=Debian
GRUB_CMDLINE_LINUX_DEFAULT=""
GRUB_CMDLINE_LINUX="console=tty0 console=ttyS0,115200"
GRUB_TERMINAL="console serial"
GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"
GRUB_DISABLE_OS_PROBER=true
EOF
[ "$agent" = none ] || put "$late/etc/cloud/cloud.cfg.d/95-seedbed.cfg" <<'EOF'
# The boot loader is in the disk already, and grub-pc is told so at build time: do not look for it at each first boot.
grub_dpkg: {enabled: false}
EOF
# cloud-init 20.4 prefers ifupdown, whose service gives up for good when no DHCP server answers for five minutes; networkd asks on.
[ "$agent$suite" != cloud-initbullseye ] || put "$late/etc/cloud/cloud.cfg.d/96-seedbed-network.cfg" <<'EOF'
system_info: {network: {renderers: [netplan, eni]}}
EOF
put "$late/etc/sudoers.d/.keep" </dev/null

packages=${SEEDBED_KERNEL:-linux-image-cloud-amd64},initramfs-tools,zstd,grub-pc,systemd-sysv,udev,dbus,kmod,e2fsprogs
packages=$packages,fdisk,openssh-server,sudo,ca-certificates,iproute2,iputils-ping,netbase,procps
packages=$packages,util-linux,login,passwd,debian-archive-keyring
# cloud-init asks for a DHCP client of its own (used by its local data sources only); take the smallest one of the suite.
# (linux-sysctl-defaults: what lets ordinary users ping since trixie.)
# (netplan.io: cloud-init writes systemd-networkd's files by itself since 21.2; systemd-resolved is in systemd before bookworm.)
[ "$agent" = none ] || packages=$packages,cloud-init,cloud-guest-utils
case $agent-$suite in
    none-trixie) packages=$packages,ifupdown,dhcpcd-base,linux-sysctl-defaults ;;
    none-*) packages=$packages,ifupdown,isc-dhcp-client ;;
    *-bullseye) packages=$packages,isc-dhcp-client,netplan.io ;;
    *-bookworm) packages=$packages,isc-dhcp-client,systemd-resolved ;;
    *) packages=$packages,dhcpcd-base,linux-sysctl-defaults,systemd-resolved ;;
esac
packages=$packages${SEEDBED_EXTRA_PACKAGES:+,$SEEDBED_EXTRA_PACKAGES}

phase 2 "downloading and unpacking packages"
echo 'grub-pc grub-pc/install_devices multiselect
grub-pc grub-pc/install_devices_empty boolean true' >"$work/files/debconf"
starting=yes
setsid mmdebstrap --mode=root --variant=minbase --architectures=amd64 --include="$packages" --skip=check/empty \
    --aptopt='APT::Install-Recommends "false"' ${apt_options[@]+"${apt_options[@]}"} \
    --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --essential-hook="cp -r $early/. \"\$1\"" \
    --essential-hook="chroot \"\$1\" debconf-set-selections <$work/files/debconf" \
    "$suite" "$root" ${sources[@]+"${sources[@]}"} >"$work/log" 2>&1 &
child=$! starting=
# Retell mmdebstrap's steps (its "I:" lines) while it runs; without a reader, end the build.
{ tail -n +1 -f --pid=$child "$work/log" 2>/dev/null | sed -un 's/^I: /seedbed-build:       /p' || kill -PIPE $$; } 9<&- &
wait $child || { child=; die "mmdebstrap failed"; }
child=

phase 3 "configuring the system"
cp -r "$late/." "$root"
rm -f "$root/etc/sudoers.d/.keep" "$root/etc/apt/apt.conf.d/99mmdebstrap" "$root/etc/dpkg/dpkg.cfg.d/99mmdebstrap"
if [ -n "${SOURCE_DATE_EPOCH:-}" ]; then
    uuid() { echo "seedbed $suite $1 $SOURCE_DATE_EPOCH" | sha256sum | sed -E 's/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*/\1-\2-4\3-8\4-\5/'; }
else
    uuid() { cat /proc/sys/kernel/random/uuid; }
fi
fs_uuid=$(uuid fs) disk_uuid=$(uuid disk) part_uuid=$(uuid root) bios_uuid=$(uuid bios)
echo "UUID=$fs_uuid / ext4 defaults,errors=remount-ro 0 1" >"$root/etc/fstab"
# Each clone is new: no machine-id (an empty file, not a missing one: missing means "first boot" to systemd, which is slower),
# no host keys, no leases, no seed of the random generator, a neutral name.
: >"$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id"
ln -s /etc/machine-id "$root/var/lib/dbus/machine-id"
rm -f "$root"/etc/ssh/ssh_host_* "$root/var/lib/systemd/random-seed" "$root/etc/udev/rules.d/70-persistent-net.rules"
find "$root/var/lib/dhcp" "$root/var/lib/dhcpcd" -type f -delete 2>/dev/null || true
echo localhost >"$root/etc/hostname"
printf '127.0.0.1\tlocalhost\n::1\t\tlocalhost ip6-localhost ip6-loopback\nff02::1\t\tip6-allnodes\nff02::2\t\tip6-allrouters\n' >"$root/etc/hosts"
if [ "$agent" = none ]; then                                    # the DHCP client writes it, and systemd starts ifupdown
    rm -f "$root/etc/resolv.conf"
    : >"$root/etc/resolv.conf"
    services=
else
    ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
    services='systemd-networkd systemd-resolved'
fi
echo LANG=C.UTF-8 >"$root/etc/default/locale"
chroot "$root" passwd -q -l root
chroot "$root" systemctl -q enable $services ssh serial-getty@ttyS0.service >>"$work/log" 2>&1
# Periodic jobs that would run minutes after the first boot of every clone. (Enable them again inside a guest that wants them.)
for unit in apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer man-db.timer \
            dpkg-db-backup.timer; do
    chroot "$root" systemctl -q disable $unit >>"$work/log" 2>&1 || true
done
# GRUB: modules and configuration as grub-install and update-grub would leave them; update-grub in the guest rewrites grub.cfg.
mkdir -p "$root/boot/grub/i386-pc"
cp "$root"/usr/lib/grub/i386-pc/*.mod "$root"/usr/lib/grub/i386-pc/*.lst "$root/boot/grub/i386-pc/"
put "$root/boot/grub/grub.cfg" <<EOF
# Written when the image was built; update-grub replaces it. The links follow the newest kernel installed.
serial --unit=0 --speed=115200
terminal_input console serial
terminal_output console serial
set timeout=0
menuentry 'Debian GNU/Linux' {
    search --no-floppy --fs-uuid --set=root $fs_uuid
    linux /vmlinuz root=UUID=$fs_uuid ro console=tty0 console=ttyS0,115200
    initrd /initrd.img
}
EOF
[ -e "$root/vmlinuz" ] && [ -e "$root/initrd.img" ] || die "no /vmlinuz and /initrd.img in the image"
# grub-mkimage is the image's own: the host needs no GRUB, and modules and core always match.
mods='biosdisk part_gpt ext2 search search_fs_uuid normal configfile linux gzio echo test ls cat boot minicmd serial terminal reboot halt sleep'
chroot "$root" grub-mkimage -O i386-pc -p '(,gpt1)/boot/grub' -o /tmp/core.img $mods
mv "$root/tmp/core.img" "$work/core.img"
cp "$root/usr/lib/grub/i386-pc/boot.img" "$work/boot.img"
rm -rf "$root"/var/cache/apt/*.bin "$root"/var/lib/apt/lists/* "$root"/var/log/*.log "$root"/var/log/apt/* "$root"/tmp/* \
    "$root"/usr/share/doc/*/changelog* "$root"/var/cache/debconf/*-old "$root"/var/lib/dpkg/*-old
mkdir -p "$root/var/lib/apt/lists/partial"
# Nothing in /usr is newer than the caches made from it: spares ldconfig, the journal catalogue and hwdb at each first boot.
for dir in etc var; do
    echo '# Written when the image was built.' >"$root/$dir/.updated"
    touch -r "$root/usr" "$root/$dir/.updated"
done
if [ -n "${SOURCE_DATE_EPOCH:-}" ]; then
    find "$root" -xdev -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
fi

phase 4 "partitioning"
sectors=$(((size_mib - 2) * 2048))                              # whole MiB, so that file system and partition agree
# GPT. Sectors 34..2047: GRUB's core. From 1 MiB to the end: the root file system, LAST on the disk so that growpart can grow it.
truncate -s "${size_mib}M" "$disk"
sfdisk -q "$disk" <<EOF
label: gpt
label-id: $disk_uuid
first-lba: 34
${disk}1 : start=2048, size=$sectors, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, uuid=$part_uuid, name=root
${disk}14 : start=34, size=2014, type=21686148-6449-6E6F-744E-656564454649, uuid=$bios_uuid, name=bios
EOF

phase 5 "writing the file system"
# An explicit feature list: the host's mke2fs may default to features the guest's GRUB or e2fsck does not know. Whole groups
# are initialised now (zeros cost nothing in a sparse file), else every clone would do it in the background after boot.
mke2fs -q -t ext4 -F -L root -U "$fs_uuid" -m 1 -b 4096 \
    -O none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum \
    -I 256 -E "offset=$((2048 * 512)),lazy_itable_init=0,lazy_journal_init=0,hash_seed=$(uuid hash),root_owner=0:0" \
    -d "$root" "$disk" "$((sectors / 2))k" >>"$work/log" 2>&1

phase 6 "installing the boot loader"
# boot.img (sector 0): bytes 0x5c..0x63 = LBA of core.img. core.img's first sector ends in a block list: at 0x1f4 the LBA where
# the rest of core.img is (8 bytes), its length in sectors (2), the segment it is loaded to (2).
le() { local v=$1 n=$2 s=; while [ "$n" -gt 0 ]; do s="$s\\x$(printf %02x $((v & 255)))"; v=$((v >> 8)) n=$((n - 1)); done; printf "$s"; }
poke() { dd of="$1" bs=1 seek="$(($2))" conv=notrunc status=none; }
core_lba=34
core_sectors=$(( ($(stat -c %s "$work/core.img") + 511) / 512 ))
[ "$core_sectors" -le 2014 ] || die "GRUB's core image does not fit before the first partition"
le $core_lba 8 | poke "$work/boot.img" 0x5c
{ le $((core_lba + 1)) 8; le $((core_sectors - 1)) 2; le 0x820 2; } | poke "$work/core.img" 0x1f4
# 0x66: the jump that makes boot.img trust the BIOS's drive number; grub-install blanks it for a hard disk
printf '\x90\x90' | poke "$work/boot.img" 0x66
dd if="$work/boot.img" of="$disk" bs=440 count=1 conv=notrunc status=none
dd if="$work/core.img" of="$disk" bs=512 seek=$core_lba conv=notrunc status=none

phase 7 "writing $(basename "$out")"
qemu-img convert -f raw -O qcow2 ${SEEDBED_COMPRESS:+-c} "$disk" "$work/disk.qcow2"
chmod 644 "$work/disk.qcow2"
sync "$work/disk.qcow2"
mv -f "$work/disk.qcow2" "$out"
echo "seedbed-build: done: $out ($(du -m "$out" | cut -f1) MiB, kernel $(readlink "$root/vmlinuz" | sed 's/.*vmlinuz-//'))"
