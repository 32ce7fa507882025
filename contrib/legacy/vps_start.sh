#!/bin/sh
# vps_start.sh [NAME...]: starts VMs, all when none is named.
[ $# -ge 1 ] || set -- --all
echo "vps_start.sh is now: seedbed start $*" >&2
exec seedbed start "$@"
