#!/bin/sh
# qemu-install-os.sh NAME ISO [OPTION...]: installs a system from media, at its console, into a base image.
[ $# -ge 2 ] || { echo "usage: qemu-install-os.sh NAME ISO [OPTION...]" >&2; exit 2; }
name=$1 iso=$2; shift 2
echo "qemu-install-os.sh is now: seedbed image install $name --iso $iso $*" >&2
exec seedbed image install "$name" --iso "$iso" "$@"
