#!/bin/sh
# A systemd of a test's own, in namespaces of its own, that runs the shipped service: systemd.sh LAB UNIT SEEDBED
#
# It knows no unit of the machine's, so it starts, mounts and cleans nothing there. It ends with who started it.
set -eu
lab=$1 unit=$2 seedbed=$3
mkdir "$lab/units" "$lab/units/seedbed.service.d"
cp "$unit" "$lab/units/seedbed.service"
put() { printf '%s\n' "$@"; }
put '[Unit]' DefaultDependencies=no After=dbus.service '[Service]' ExecStart= "ExecStart=$seedbed serve" \
    "Environment=SEEDBED_CONFIG=$SEEDBED_CONFIG" "StandardOutput=append:$lab/daemon.log" \
    "StandardError=append:$lab/daemon.log" >"$lab/units/seedbed.service.d/lab.conf"
put '[Unit]' DefaultDependencies=no 'Wants=dbus.service seedbed.service' >"$lab/units/lab.target"
put '[Unit]' DefaultDependencies=no '[Socket]' ListenStream=/run/dbus/system_bus_socket >"$lab/units/dbus.socket"
put '[Unit]' DefaultDependencies=no Requires=dbus.socket After=dbus.socket '[Service]' Type=notify \
    'ExecStart=/usr/bin/dbus-daemon --system --address=systemd: --nofork --nopidfile --systemd-activation' >"$lab/units/dbus.service"

# (`ip netns exec` mounts a new /sys, without the control groups of the host.)
mount -t cgroup2 none /sys/fs/cgroup
mkdir "/sys/fs/cgroup/${lab##*/}"
echo $$ >"/sys/fs/cgroup/${lab##*/}/cgroup.procs"
exec unshare --mount --pid --uts --ipc --cgroup --fork --kill-child --mount-proc --propagation private sh -ec '
    mount -t tmpfs none /run
    umount /sys/fs/cgroup
    mount -t cgroup2 none /sys/fs/cgroup
    exec env -i container=lab PATH="$PATH" SYSTEMD_UNIT_PATH="$1/units" \
        "$2" --unit=lab.target --show-status=no --log-target=null
' sh "$lab" "$(command -v /usr/lib/systemd/systemd /lib/systemd/systemd | head -n 1)"
