//! VMs that someone else runs, on our bridge: a plain QEMU that calls our scripts, and a domain of libvirt with our hook. They
//! configure themselves, are held to what is registered, and leave nothing.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::lab::{Lab, Run, SEEDBED, eventually};
use crate::{guests, root};

const PATIENCE: Duration = Duration::from_secs(120);
const WEB1: &str = "52:54:00:aa:00:61";
const WEB1_IP: &str = "10.77.0.61";
const WEB2: &str = "52:54:00:aa:00:62";
const WEB2_IP: &str = "10.77.0.62";

/// A directory of the lab with the `seedbed` under test in it, to be in front of the path.
fn path_with_seedbed(lab: &Lab) -> String {
    let bin = lab.path("bin");
    if !bin.exists() {
        fs::create_dir(&bin).unwrap();
        symlink(SEEDBED, bin.join("seedbed")).unwrap();
    }
    format!("{}:{}", bin.display(), std::env::var("PATH").unwrap())
}

fn contrib(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib").join(name);
    path.to_string_lossy().into_owned()
}

/// A tiny guest that nobody but us has started, with our hand at its serial console; ended with it.
struct Plain {
    qemu: Child,
    console: PathBuf,
    typed: u32,
}

impl Plain {
    /// Starts it, with what QEMU is told of its network; its seed is where every guest of the network finds its own.
    fn start(lab: &Lab, nic: &str) -> Self {
        let console = lab.path("plain.console");
        let tiny = guests::tiny();
        let cmdline = fs::read_to_string(tiny.join("cmdline")).unwrap();
        let mut command = lab.inside(&["qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-m", "96"]);
        command.args(["-nodefaults", "-display", "none", "-serial", "stdio"]);
        command.arg("-kernel").arg(tiny.join("vmlinuz"));
        command.arg("-initrd").arg(tiny.join("initrd.img"));
        let seed = "ds=nocloud-net;s=http://10.77.0.1/nocloud/";
        command.args(["-append", &format!("{} {seed}", cmdline.trim())]);
        command.args(["-nic", nic]).env("PATH", path_with_seedbed(lab));
        let qemu = command
            .stdin(Stdio::piped())
            .stdout(fs::File::create(&console).unwrap())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            qemu,
            console,
            typed: 0,
        }
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.console).unwrap_or_default()
    }

    fn is_ready(&self, name: &str, ip: &str) {
        let line = format!("TINY-READY name={name} ip={ip} ");
        let ready = eventually(PATIENCE, || self.said().contains(&line));
        assert!(ready, "no {line:?} in:\n{}", self.said());
    }

    fn type_line(&mut self, line: &str) {
        let typed = self.qemu.stdin.as_mut().unwrap();
        writeln!(typed, "{line}").unwrap();
        typed.flush().unwrap();
    }

    /// What a line prints. The marks around it are computed by the shell: typed they look different.
    fn run(&mut self, line: &str) -> String {
        self.typed += 1;
        let (from, to) = (1000 + self.typed, 2000 + self.typed);
        let number = self.typed;
        self.type_line(&format!(
            "echo FROM-$((1000+{number})); {line}; echo TO-$((2000+{number}))"
        ));
        let (from, to) = (format!("FROM-{from}"), format!("TO-{to}"));
        let done = eventually(Duration::from_secs(60), || self.said().contains(&to));
        let said = self.said();
        assert!(done, "the guest did not finish `{line}`:\n{said}");
        let (_, output) = said.split_once(&from).unwrap();
        output.split_once(&to).unwrap().0.trim().to_owned()
    }

    /// Takes a hardware address and an IP, and asks for the documents of whoever it is taken for; what came.
    ///
    /// Without wget's own `-T`, which crashes in Debian's static busybox (see contrib/tiny-guest).
    fn asks_as(&mut self, mac: &str, ip: &str) -> String {
        self.run(&format!(
            "ip link set eth0 down; ip link set eth0 address {mac}; ip link set eth0 up; ip addr flush dev eth0; \
             ip addr add {ip}/24 dev eth0; rm -f /run/got; \
             busybox timeout 8 wget -q -O /run/got http://10.77.0.1/nocloud/meta-data; cat /run/got"
        ))
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        self.qemu.kill().ok();
        self.qemu.wait().ok();
    }
}

/// Starts a guest with our scripts, on a tap that QEMU chooses the name of where none is given.
fn start(lab: &Lab, interface: &str, mac: &str) -> Plain {
    let (up, down) = (contrib("seedbed-ifup"), contrib("seedbed-ifdown"));
    let named = if interface.is_empty() {
        String::new()
    } else {
        format!("ifname={interface},")
    };
    Plain::start(
        lab,
        &format!("tap,{named}script={up},downscript={down},model=virtio-net-pci,mac={mac}"),
    )
}

/// The guarded ports, as `INTERFACE VM`.
fn ports(lab: &Lab) -> Vec<String> {
    let json = lab.seedbed(&["port", "list", "--format", "json"]).ok();
    let ports: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    let word = |port: &serde_json::Value, field: &str| port[field].as_str().unwrap().to_owned();
    ports
        .iter()
        .map(|port| format!("{} {}", word(port, "interface"), word(port, "vm")))
        .collect()
}

fn rules(lab: &Lab) -> String {
    Run::of(&mut lab.inside(&["nft", "list", "table", "bridge", "seedbed"])).ok()
}

fn neighbour(lab: &Lab) -> String {
    Run::of(&mut lab.inside(&["ip", "neigh", "show", WEB1_IP])).ok()
}

fn is_guarded(lab: &Lab, interface: &str) {
    assert_eq!(ports(lab), [format!("{interface} web1")]);
    let rules = rules(lab);
    let station = format!("\"{interface}\" . {WEB1} . {WEB1_IP}");
    assert!(rules.contains(&station), "no {station} in {rules}");
    let entry = neighbour(lab);
    assert!(entry.contains(WEB1) && entry.contains("PERMANENT"), "{entry}");
}

fn nothing_is_left(lab: &Lab, interface: &str) {
    let gone = eventually(Duration::from_secs(10), || ports(lab).is_empty());
    assert!(gone, "{:?}", ports(lab));
    assert!(!rules(lab).contains(interface), "{}", rules(lab));
    assert!(!neighbour(lab).contains("PERMANENT"), "{}", neighbour(lab));
    assert_eq!(lab.listing("run/ports"), [""; 0]);
}

/// What the host knows of an interface, in a line.
fn link(lab: &Lab, interface: &str) -> String {
    Run::of(&mut lab.inside(&["ip", "-o", "link", "show", interface])).ok()
}

fn step(lab: &Lab, name: &str) -> serde_json::Value {
    let json = lab.seedbed(&["show", name, "--format", "json"]).ok();
    serde_json::from_str::<serde_json::Value>(&json).unwrap()[0]["step"].clone()
}

fn lab() -> Lab {
    let lab = Lab::new();
    lab.seedbed(&["add", "web1", "--mac", WEB1, "--ip", WEB1_IP]).ok();
    lab.seedbed(&["add", "web2", "--mac", WEB2, "--ip", WEB2_IP]).ok();
    lab
}

#[test]
fn a_plain_qemu_configures_itself_and_is_held_to_what_is_registered() {
    if !root() {
        return;
    }
    let mut lab = lab();
    let mut guest = start(&lab, "mytap", WEB1);
    guest.is_ready("web1.lab", WEB1_IP);
    is_guarded(&lab, "mytap");
    lab.seedbed(&["check", "web1"]).ok();
    // Once more is no other boot.
    assert_ne!(step(&lab, "web1"), "started");
    lab.seedbed(&["port", "up", "mytap", "--mac", WEB1]).ok();
    assert_ne!(step(&lab, "web1"), "started");
    is_guarded(&lab, "mytap");

    // Its identity is not to be had behind another port.
    let thief = lab.client("52:54:00:00:00:99");
    let asks = |mac: &str, ip: &str| {
        thief.become_another(mac, &format!("{ip}/24"));
        let url = "http://10.77.0.1/nocloud/meta-data";
        thief.run(&["curl", "-sS", "--max-time", "3", url]).stdout
    };
    assert_eq!(asks(WEB1, WEB1_IP), "");
    assert!(
        asks(WEB2, WEB2_IP).contains("web2.lab"),
        "the thief speaks at all"
    );
    lab.seedbed(&["port", "up", "port1", "--mac", WEB1])
        .refused(1, &["web1 has the port mytap already"]);

    // A daemon that starts again finds the port, and nobody behind it speaks as another.
    lab.kill_daemon();
    lab.start_daemon();
    is_guarded(&lab, "mytap");
    let as_another = guest.asks_as(WEB2, WEB2_IP);
    assert!(!as_another.contains(".lab"), "taken for web2: {as_another}");
    let as_itself = guest.asks_as(WEB1, WEB1_IP);
    assert!(as_itself.contains("web1.lab"), "{as_itself}");

    // QEMU calls its downscript when its guest powers off.
    guest.type_line("poweroff -f");
    assert!(guest.qemu.wait().unwrap().success());
    assert_eq!(ports(&lab), [""; 0], "the script told that it has ended");
    nothing_is_left(&lab, "mytap");
}

#[test]
fn a_guarded_port_follows_the_registry_and_goes_with_its_qemu() {
    if !root() {
        return;
    }
    let lab = lab();
    // QEMU chooses the tap's name: its command line has one card, and that is the one.
    let guest = start(&lab, "", WEB1);
    guest.is_ready("web1.lab", WEB1_IP);
    let interface = ports(&lab)[0].strip_suffix(" web1").unwrap().to_owned();
    is_guarded(&lab, &interface);

    lab.seedbed(&["set", "web1", "--ip", "10.77.0.71"]).ok();
    let station = format!("\"{interface}\" . {WEB1} . 10.77.0.71");
    let followed = eventually(Duration::from_secs(10), || rules(&lab).contains(&station));
    assert!(followed, "{}", rules(&lab));
    assert!(!rules(&lab).contains(WEB1_IP), "{}", rules(&lab));
    lab.seedbed(&["set", "web1", "--ip", WEB1_IP]).ok();
    let back = eventually(Duration::from_secs(10), || rules(&lab).contains(WEB1_IP));
    assert!(back, "{}", rules(&lab));
    lab.seedbed(&["delete", "web1"]).ok();
    nothing_is_left(&lab, &interface);
    let off = link(&lab, &interface);
    assert!(
        !off.contains("master") && off.contains("state DOWN"),
        "its guest runs on, and nobody guards it: {off}"
    );

    // A QEMU that is killed calls no script.
    lab.seedbed(&["add", "web1", "--mac", WEB1, "--ip", WEB1_IP]).ok();
    lab.seedbed(&["port", "up", &interface, "--mac", WEB1]).ok();
    is_guarded(&lab, &interface);
    drop(guest);
    nothing_is_left(&lab, &interface);
}

#[test]
fn a_port_that_went_while_no_daemon_ran_leaves_nothing() {
    if !root() {
        return;
    }
    let mut lab = lab();
    let client = lab.client(WEB1);
    lab.seedbed(&["port", "up", "port1"])
        .refused(3, &["no VM has a tap that is called port1"]);
    lab.seedbed(&["port", "up", "port1", "--mac", WEB1]).ok();
    is_guarded(&lab, "port1");
    client.set_address("10.77.0.61/24");
    client.run(&["ping", "-c", "1", "-W", "5", "10.77.0.1"]).ok();
    client.set_address("10.77.0.62/24");
    let ping = client.run(&["ping", "-c", "1", "-W", "1", "10.77.0.1"]);
    assert_eq!(ping.code, 1, "it speaks as another: {ping}");
    lab.kill_daemon();
    client.unplug();
    // Another interface of the same name is not the one that was guarded.
    Run::of(&mut lab.inside(&["ip", "link", "add", "port1", "type", "bridge"])).ok();
    lab.start_daemon();
    nothing_is_left(&lab, "port1");
}

#[test]
fn an_interface_that_is_no_guests_stays_where_it_is() {
    if !root() {
        return;
    }
    let mut lab = lab();
    lab.client(WEB1);
    let ip = |words: &str| {
        let words: Vec<_> = words.split(' ').collect();
        Run::of(&mut lab.inside(&words)).ok();
    };
    ip("ip link add way0 type veth peer name way1");
    ip("ip addr add 192.0.2.7/24 dev way0");
    for (interface, why) in [
        ("lo", "`lo` is a physical or unknown device"),
        ("br0", "`br0` is a bridge"),
        ("way0", "`way0` has the address 192.0.2.7 of this host"),
    ] {
        let says = [why, "name the tap or veth that the guest is behind"];
        lab.seedbed(&["port", "up", interface, "--mac", WEB1])
            .refused(1, &says);
        let shown = link(&lab, interface);
        assert!(!shown.contains("master"), "{shown}");
    }
    assert_eq!(ports(&lab), [""; 0]);
    lab.seedbed(&["port", "up", "way1", "--mac", WEB1]).ok();
    is_guarded(&lab, "way1");
}

#[test]
fn a_guest_that_goes_on_is_never_on_the_bridge_without_its_guard() {
    if !root() {
        return;
    }
    let mut lab = lab();
    let client = lab.client(WEB1);
    lab.seedbed(&["port", "up", "port1", "--mac", WEB1]).ok();
    client.set_address("10.77.0.61/24");
    let reaches_the_host = || client.run(&["ping", "-c", "1", "-W", "1", "10.77.0.1"]).code == 0;
    assert!(eventually(Duration::from_secs(10), reaches_the_host));

    // Once more, when nothing can be kept: what it has stays.
    let kept = lab.path("run/ports/port1");
    fs::remove_file(&kept).unwrap();
    fs::create_dir(&kept).unwrap();
    lab.seedbed(&["port", "up", "port1", "--mac", WEB1])
        .refused(1, &["port port1 can not be kept"]);
    is_guarded(&lab, "port1");
    assert!(reaches_the_host());
    // A port that would be another's from now on, and can not be kept, is nobody's and nowhere.
    lab.seedbed(&["port", "up", "port1", "--mac", WEB2])
        .refused(1, &["port port1 can not be kept"]);
    let off = |lab: &Lab| !link(lab, "port1").contains("master");
    assert!(off(&lab), "{}", link(&lab, "port1"));
    fs::remove_dir(&kept).unwrap();
    nothing_is_left(&lab, "port1");

    // Another VM behind the same interface: nothing of the earlier one stays.
    lab.seedbed(&["port", "up", "port1", "--mac", WEB1]).ok();
    is_guarded(&lab, "port1");
    assert_eq!(step(&lab, "web1"), "started");
    lab.seedbed(&["port", "up", "port1", "--mac", WEB2]).ok();
    assert_eq!(ports(&lab), ["port1 web2"]);
    assert!(!neighbour(&lab).contains("PERMANENT"), "{}", neighbour(&lab));
    assert_eq!(step(&lab, "web1"), serde_json::Value::Null);
    assert!(!reaches_the_host(), "it speaks as the VM that it was");

    lab.seedbed(&["port", "down", "port1"]).ok();
    nothing_is_left(&lab, "port1");
    assert!(off(&lab), "{}", link(&lab, "port1"));
    lab.seedbed(&["port", "up", "port1", "--mac", WEB1]).ok();
    assert!(eventually(Duration::from_secs(10), reaches_the_host));
}

#[test]
fn a_qemu_whose_card_is_not_registered_does_not_start_and_says_why() {
    if !root() {
        return;
    }
    let lab = lab();
    let mut stranger = start(&lab, "mytap", "52:54:00:00:00:98");
    let ended = stranger.qemu.wait().unwrap();
    let mut said = String::new();
    let stderr = stranger.qemu.stderr.as_mut().unwrap();
    stderr.read_to_string(&mut said).unwrap();
    assert!(!ended.success(), "{said}");
    assert!(
        said.contains("no VM is registered with 52:54:00:00:00:98")
            && said.contains("seedbed add NAME --mac"),
        "{said}"
    );
    nothing_is_left(&lab, "mytap");
}

/// libvirt's daemon in the lab's namespace, with directories of its own; ended with it.
struct Libvirt<'a> {
    lab: &'a Lab,
    daemon: Child,
}

impl<'a> Libvirt<'a> {
    fn start(lab: &'a Lab) -> Self {
        let at = |name: &str| lab.path(name).to_string_lossy().into_owned();
        fs::create_dir_all(lab.path("libvirt/hooks")).unwrap();
        let conf = format!(
            "unix_sock_dir = \"{}\"\nauth_unix_ro = \"none\"\nauth_unix_rw = \"none\"\nlog_outputs = \"3:file:{}\"\n",
            at("libvirt"),
            at("libvirt/log")
        );
        fs::write(lab.path("libvirt/libvirtd.conf"), conf).unwrap();
        let conf = "user = \"root\"\ngroup = \"root\"\nsecurity_driver = \"none\"\ncgroup_controllers = [ ]\n\
                    namespaces = [ ]\nstdio_handler = \"file\"\n";
        fs::write(lab.path("libvirt/qemu.conf"), conf).unwrap();
        // libvirt gives its hooks no environment but the path: which daemon is meant is not to be guessed in a lab.
        let hook = format!(
            "#!/bin/sh\nexport SEEDBED_CONFIG={} SEEDBED_SOCKET={}\nexec {} \"$@\"\n",
            at("config.yaml"),
            at("run/seedbed.sock"),
            contrib("libvirt/qemu")
        );
        let path = lab.path("libvirt/hooks/qemu");
        fs::write(&path, hook).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let script = "for place in /etc/libvirt /var/lib/libvirt /var/cache/libvirt; do mkdir -p $place; done\n\
                      mount --bind \"$LIBVIRT\" /etc/libvirt && mount -t tmpfs none /var/lib/libvirt &&\n\
                      mount -t tmpfs none /var/cache/libvirt && mount -t tmpfs none /run && mkdir /run/libvirt || exit 1\n\
                      exec libvirtd -f /etc/libvirt/libvirtd.conf -p \"$LIBVIRT/pid\"";
        let mut command = lab.inside(&["unshare", "-m", "sh", "-c", script]);
        command
            .env("LIBVIRT", at("libvirt"))
            .env("PATH", path_with_seedbed(lab));
        let daemon = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let libvirt = Self { lab, daemon };
        let up = eventually(Duration::from_secs(30), || libvirt.virsh(&["list"]).code == 0);
        assert!(up, "{}", libvirt.log());
        libvirt
    }

    fn virsh(&self, args: &[&str]) -> Run {
        let socket = self.lab.path("libvirt/libvirt-sock");
        let uri = format!("qemu:///system?socket={}", socket.display());
        let mut command = self.lab.inside(&["timeout", "60", "virsh", "-q", "-c", &uri]);
        Run::of(command.args(args))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.lab.path("libvirt/log")).unwrap_or_default()
    }
}

impl Drop for Libvirt<'_> {
    fn drop(&mut self) {
        let domains = self.virsh(&["list", "--name"]).stdout;
        for domain in domains.split_whitespace() {
            drop(self.virsh(&["destroy", domain]));
        }
        self.daemon.kill().ok();
        self.daemon.wait().ok();
    }
}

/// A domain of the tiny guest, and where its console is written.
fn domain(lab: &Lab, name: &str, mac: &str) -> (String, PathBuf) {
    let (tiny, console) = (guests::tiny(), lab.path(&format!("{name}.console")));
    let cmdline = fs::read_to_string(tiny.join("cmdline")).unwrap();
    let xml = format!(
        "<domain type='qemu'>\n<name>{name}</name><memory unit='MiB'>96</memory><vcpu>1</vcpu>\n\
         <os><type arch='x86_64' machine='q35'>hvm</type><kernel>{0}/vmlinuz</kernel><initrd>{0}/initrd.img</initrd>\n\
         <cmdline>{1} ds=nocloud-net;s=http://10.77.0.1/nocloud/</cmdline></os>\n\
         <devices>\n<emulator>/usr/bin/qemu-system-x86_64</emulator>\n\
         <interface type='bridge'>\n<mac address='{mac}'/><source bridge='br0'/><model type='virtio'/>\n</interface>\n\
         <serial type='file'><source path='{2}'/><target port='0'/></serial>\n<memballoon model='none'/>\n\
         </devices>\n</domain>\n",
        tiny.display(),
        cmdline.trim(),
        console.display()
    );
    let path = lab.path(&format!("{name}.xml"));
    fs::write(&path, xml).unwrap();
    (path.to_string_lossy().into_owned(), console)
}

#[test]
fn a_domain_of_libvirt_is_imported_configures_itself_and_is_guarded() {
    if !root() {
        return;
    }
    let mut lab = Lab::new();
    {
        let libvirt = Libvirt::start(&lab);
        let (xml, console) = domain(&lab, "Web_1", WEB1);
        libvirt.virsh(&["define", &xml]).ok();
        let dumped = libvirt.virsh(&["dumpxml", "Web_1"]).ok();
        fs::write(lab.path("dumped.xml"), dumped).unwrap();
        let (other, _) = domain(&lab, "other", WEB2);
        let files = [lab.path("dumped.xml").to_string_lossy().into_owned(), other];
        let imported = lab.seedbed(&["import", "--from", "libvirt", &files[0], &files[1]]);
        assert!(
            imported
                .stderr
                .contains("`Web_1` (line 1) is registered as web-1"),
            "{imported}"
        );
        imported.ok();

        libvirt.virsh(&["start", "Web_1"]).ok();
        let said = || fs::read_to_string(&console).unwrap_or_default();
        let ready = eventually(PATIENCE, || said().contains("TINY-READY name=web-1.lab ip="));
        assert!(ready, "{}\n{}", said(), libvirt.log());
        assert_eq!(ports(&lab), ["vnet0 web-1"]);
        let rules = rules(&lab);
        assert!(rules.contains(&format!("\"vnet0\" . {WEB1}")), "{rules}");
        lab.seedbed(&["check", "web-1"]).ok();
        libvirt.virsh(&["destroy", "Web_1"]).ok();
        assert_eq!(ports(&lab), [""; 0], "the hook told that it has stopped");
        assert_eq!(lab.listing("run/ports"), [""; 0]);

        // A domain that is no VM of ours is left alone.
        let (stranger, _) = domain(&lab, "stranger", "52:54:00:00:00:97");
        libvirt.virsh(&["create", &stranger]).ok();
        assert_eq!(ports(&lab), [""; 0]);
        libvirt.virsh(&["destroy", "stranger"]).ok();
    }
    // Without the daemon nobody would hold it to what is registered: it does not start.
    lab.stop_daemon();
    let libvirt = Libvirt::start(&lab);
    let (xml, _) = domain(&lab, "web-1", WEB1);
    libvirt
        .virsh(&["create", &xml])
        .refused(1, &["the seedbed daemon is not running"]);
}
