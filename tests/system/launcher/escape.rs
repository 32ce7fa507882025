//! L16: what a process can do that runs where QEMU runs, as a guest that broke out of it would.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::{add_empty, launch, program, shown};
use crate::lab::{Lab, Run, Running, eventually};
use crate::root;

/// Stands where QEMU is expected, tries all of this with QEMU's user, groups, namespaces and rules, tells what worked, and
/// becomes QEMU. (What QEMU's own filter of system calls denies besides, spawning among it, begins later: see its status below.)
const ESCAPE: &str = r#"#!/usr/bin/python3
import ctypes, os, signal, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
lab, other, bystander = "@LAB@", "@OTHER@", int("@BYSTANDER@")
words = sys.argv[1:]
if "-name" not in words:
    # It is only asked what it is.
    os.execv("/usr/bin/qemu-system-x86_64", ["/usr/bin/qemu-system-x86_64"] + words)
name = words[words.index("-name") + 1].split("=")[1]

def call(number_or_name, *args):
    if getattr(libc, number_or_name)(*args) != 0:
        raise OSError(ctypes.get_errno(), "denied")

def connect(path):
    socket.socket(socket.AF_UNIX).connect(path)

def reach(host, port):
    peer = socket.socket()
    peer.settimeout(1)
    peer.connect((host, port))

def datagram():
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("10.77.0.1", 53))

def links():
    # A netlink socket can be had, but must show nothing of the host.
    assert any(name != "lo" for _, name in socket.if_nameindex())

def write(path, flags=os.O_WRONLY | os.O_CREAT):
    os.write(os.open(path, flags, 0o600), b"x")

def elsewhere():
    # In a child, because whoever is in a user namespace is nobody outside of it.
    child = os.fork()
    if child == 0:
        try:
            call("unshare", 0x10020000)
            call("mount", b"none", b"/tmp", b"tmpfs", 0, None)
            os._exit(0)
        except OSError:
            os._exit(1)
    if os.waitpid(child, 0)[1] != 0:
        raise OSError("denied")

def limit_core():
    import resource
    resource.setrlimit(resource.RLIMIT_CORE, (1, 1))

tries = {
    "read another disk": lambda: open(f"{lab}/state/vms/{other}/disk.qcow2", "rb").read(1),
    "write another disk": lambda: write(f"{lab}/state/vms/{other}/disk.qcow2", os.O_WRONLY),
    "read another log": lambda: open(f"{lab}/state/vms/{other}/qemu.log", "rb").read(1),
    "list the VMs": lambda: os.listdir(f"{lab}/state/vms"),
    "read the registry": lambda: open(f"{lab}/state/registry.redb", "rb").read(1),
    "read an exported file": lambda: open(f"{lab}/state/hosts", "rb").read(1),
    "read an image of no use to it": lambda: open(f"{lab}/state/images/private@1/disk", "rb").read(1),
    "write its base": lambda: write(f"{lab}/state/images/empty@1/disk", os.O_WRONLY),
    "use another QMP": lambda: connect(f"{lab}/run/vms/{other}/qmp"),
    "use another console": lambda: connect(f"{lab}/run/consoles/{other}/console"),
    "use the admin socket": lambda: connect(f"{lab}/run/seedbed.sock"),
    "read a world-readable file": lambda: open("/etc/passwd").read(1),
    "read a command line": lambda: open(f"/proc/{bystander}/cmdline").read(1),
    "read a memory": lambda: open(f"/proc/{bystander}/mem", "rb"),
    "trace a process": lambda: call("ptrace", 16, bystander, 0, 0),
    "kill a process": lambda: os.kill(bystander, signal.SIGTERM),
    "kill its parent": lambda: os.kill(os.getppid(), signal.SIGTERM),
    "make a device": lambda: os.mknod(f"{lab}/run/vms/{name}/dev", 0o600 | 0x2000, os.makedev(1, 5)),
    "make a file beside its disk": lambda: write(f"{lab}/state/vms/{name}/new"),
    "make a file beside its sockets": lambda: write(f"{lab}/run/vms/{name}/new"),
    "make a link beside its sockets": lambda: os.symlink("/etc", f"{lab}/run/vms/{name}/link"),
    "make a file in /tmp": lambda: write("/tmp/seedbed-escape"),
    "make a file in /dev/shm": lambda: write("/dev/shm/seedbed-escape"),
    "mount": lambda: call("mount", b"none", b"/tmp", b"tmpfs", 0, None),
    "mount in a namespace of its own": elsewhere,
    "become root": lambda: os.setuid(0),
    "become another": lambda: os.setuid(65534),
    "gain rights by a program": lambda: open("/proc/self/status").read().index("NoNewPrivs:\t0"),
    "send raw packets": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0),
    "see the host's network": links,
    "reach the host by TCP": lambda: reach("10.77.0.1", 80),
    "reach itself by TCP": lambda: socket.socket().bind(("127.0.0.1", 1025)),
    "reach the host by UDP": datagram,
    "reach an abstract socket": lambda: connect("\0seedbed-bystander"),
    "leave core files": limit_core,
    "leave its group": lambda: write("/sys/fs/cgroup/cgroup.procs", os.O_WRONLY),
    "set the clock": lambda: call("settimeofday", (ctypes.c_long * 2)(0, 0), None),
}
for what, action in tries.items():
    try:
        action()
        print(f"WORKED {what}", flush=True)
    except Exception as error:
        print(f"denied {what}: {error}", flush=True)
# What it must be able to do, or all of this says nothing.
for what, action in {
    "its own disk": lambda: os.open(f"{lab}/state/vms/{name}/disk.qcow2", os.O_RDWR),
    "its base": lambda: open(f"{lab}/state/images/empty@1/disk", "rb").read(1),
    "a program": lambda: open("/usr/bin/env", "rb").read(1),
}.items():
    try:
        action()
        print(f"allowed {what}", flush=True)
    except Exception as error:
        print(f"REFUSED {what}: {error}", flush=True)
print(f"tried {len(tries)}", flush=True)
os.execv("/usr/bin/qemu-system-x86_64", ["/usr/bin/qemu-system-x86_64"] + words)
"#;

/// A process of root's with an abstract socket.
const BYSTANDER: &str = "import socket,time\ns=socket.socket(socket.AF_UNIX)\ns.bind('\\0seedbed-bystander')\ns.listen()\ntime.sleep(600)";

#[test]
fn l16_a_process_that_broke_out_of_its_vm_reaches_nothing_of_the_host_or_of_others() {
    if !root() {
        return;
    }
    let mut lab = Lab::new();
    add_empty(&lab);
    let empty = lab.path("empty.raw").to_string_lossy().into_owned();
    lab.seedbed(&["image", "add", "private", &empty, "--disk-format", "raw"])
        .ok();
    Run::of(&mut launch(&lab, &["victim"])).ok();
    let mut bystander = Running::start(&mut lab.inside(&["/usr/bin/python3", "-c", BYSTANDER]));
    let text = ESCAPE
        .replace("@LAB@", lab.path("").to_string_lossy().trim_end_matches('/'))
        .replace("@OTHER@", "victim")
        .replace("@BYSTANDER@", &bystander.0.id().to_string());
    let escape = program(&lab, "escape", &text);
    // As open as a host could be by mistake: what denies must not be these modes alone.
    for loose in ["state/vms", "state/images", "run/vms"] {
        fs::set_permissions(lab.path(loose), fs::Permissions::from_mode(0o777)).unwrap();
    }
    lab.stop_daemon();
    lab.configure(&format!("qemu: {}", escape.display()));
    lab.start_daemon();
    Run::of(&mut launch(&lab, &["escaped"])).ok();

    let log = fs::read_to_string(lab.path("state/vms/escaped/qemu.log")).unwrap();
    let worked: Vec<_> = log
        .lines()
        .filter(|line| line.starts_with("WORKED") || line.starts_with("REFUSED"))
        .collect();
    assert_eq!(worked, [""; 0], "all it tried:\n{log}");
    let lines = |begin: &str| log.lines().filter(|line| line.starts_with(begin)).count();
    let tried = log.lines().find_map(|line| line.strip_prefix("tried ")).unwrap();
    assert!(
        lines("denied ").to_string() == tried && lines("denied ") > 30,
        "{log}"
    );
    assert_eq!(lines("allowed "), 3, "{log}");
    assert_eq!(bystander.0.try_wait().unwrap(), None);
    assert_eq!(shown(&lab, "victim", "state"), "running");

    // The same process is QEMU now.
    is_confined(&shown(&lab, "escaped", "pid"));
    assert!(!fs::exists("/tmp/seedbed-escape").unwrap() && !fs::exists("/dev/shm/seedbed-escape").unwrap());
    lab.seedbed(&["delete", "--all", "--force"]).ok();
}

/// QEMU's own filter denies it other programs as well, and it has no rights and no core files.
fn is_confined(pid: &serde_json::Value) {
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    let confined = eventually(std::time::Duration::from_secs(5), || {
        let status = read("status");
        [
            "Seccomp:\t2",
            "NoNewPrivs:\t1",
            "CapBnd",
            "CapEff:\t0000000000000000",
        ]
        .iter()
        .all(|field| status.contains(field))
    });
    assert!(confined, "{}", read("status"));
    let core = read("limits");
    let core = core
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert!(
        core.split_whitespace().filter(|word| *word == "0").count() == 2,
        "{core}"
    );
}
