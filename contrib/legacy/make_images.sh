#!/bin/sh
# make_images.sh IMAGE NAME... [OPTION...]: makes clones of a base image, each with a name, disks and a configuration of its own, and
# starts them.
[ $# -ge 2 ] || { echo "usage: make_images.sh IMAGE NAME... [OPTION...], such as make_images.sh debian-12 'vps[01-20]'" >&2; exit 2; }
image=$1; shift
echo "make_images.sh is now: seedbed launch --image $image $*" >&2
exec seedbed launch --image "$image" "$@"
