#!/bin/sh
# base-start.sh IMAGE [OPTION...]: starts a base image to change it by hand. The image that its clones are made of stays as it is:
# what is changed is its next generation.
[ $# -ge 1 ] || { echo "usage: base-start.sh IMAGE [OPTION...]" >&2; exit 2; }
echo "base-start.sh is now: seedbed image edit $*" >&2
exec seedbed image edit "$@"
