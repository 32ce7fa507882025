//! The main job on real input: two clones of one Debian image come up as themselves, without anyone logging in.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::lab::{Lab, Run, eventually, say};
use crate::{guests, root};

const NAMES: [&str; 2] = ["web1", "web2"];
/// The images they are clones of: one disk, shown in two ways. By itself a guest takes OpenStack's documents.
const IMAGES: [(&str, &str); 2] = [("debian-12", "auto"), ("debian-12-nocloud", "nocloud")];
/// A user's own cloud-config: its `mounts` and `bootcmd` replace those of a template, and must not take the swap with them.
const USER_DATA: &str = r#"#cloud-config
runcmd:
- [touch, /run/said-by-user-data]
bootcmd:
- [touch, /run/said-by-bootcmd]
mounts:
- [tmpfs, /mnt/scratch, tmpfs, "size=1M", "0", "0"]
"#;

/// A lab with `web1` and `web2`, each with a key of its own, and a resolver that is the lab's DNS server.
struct Guests {
    lab: Lab,
    resolver: PathBuf,
}

impl Guests {
    fn launched() -> Self {
        let lab = Lab::new();
        // `ip netns exec` shows this file as /etc/resolv.conf: names resolve by our DNS and by nothing else.
        let resolver = PathBuf::from("/etc/netns").join(lab.namespace());
        fs::create_dir_all(&resolver).unwrap();
        fs::write(resolver.join("resolv.conf"), "nameserver 10.77.0.1\nsearch lab\n").unwrap();
        let guests = Self { lab, resolver };
        let image = guests::debian();
        let disk = image.to_string_lossy();
        for (image, view) in IMAGES {
            let add = [
                "image",
                "add",
                image,
                &disk,
                "--default-user",
                "debian",
                "--view",
                view,
            ];
            guests.lab.seedbed(&add).ok();
        }
        #[expect(clippy::disallowed_methods, reason = "the test measures")]
        let start = Instant::now();
        // Two commands at once, because each VM gets a key of its own.
        for mut launch in NAMES.map(|name| guests.launch(name)) {
            assert!(
                launch.wait().unwrap().success(),
                "{}",
                guests.lab.seedbed(&["log", "web1"]).stdout
            );
        }
        say(&format!(
            "two Debian guests from launch to ready: {:.0} s",
            start.elapsed().as_secs_f64()
        ));
        guests
    }

    fn launch(&self, name: &str) -> Child {
        let key = self.key(name);
        Run::of(
            Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
                .arg(&key),
        )
        .ok();
        let public = format!("{key}.pub");
        let user_data = self.lab.path("user-data").to_string_lossy().into_owned();
        fs::write(&user_data, USER_DATA).unwrap();
        let (image, secret) = if name == "web2" {
            (IMAGES[1].0, "--secret-user-data=yes")
        } else {
            (IMAGES[0].0, "--secret-user-data=no")
        };
        let launch = [
            "launch",
            name,
            "--image",
            image,
            secret,
            "--key",
            &public,
            "--swap",
            "256M",
            "--disk",
            "4G",
            "--user-data",
            &user_data,
            "--wait=900",
        ];
        self.lab.command(&launch).spawn().unwrap()
    }

    fn key(&self, name: &str) -> String {
        self.lab
            .path(&format!("key-{name}"))
            .to_string_lossy()
            .into_owned()
    }

    /// Real `ssh` from outside, by DNS name, with the registered key and strict host key checking.
    fn ssh_command(&self, key: &str, name: &str, command: &str) -> Command {
        let known = format!(
            "-oUserKnownHostsFile={}",
            self.lab.path("state/known_hosts").display()
        );
        let options = [
            &known,
            "-oStrictHostKeyChecking=yes",
            "-oBatchMode=yes",
            "-oConnectTimeout=20",
        ];
        let (key, to) = (self.key(key), format!("debian@{name}.lab"));
        let mut ssh = self
            .lab
            .inside(&["ssh", "-F", "none", "-o", "IdentitiesOnly=yes", "-i", &key]);
        ssh.args(options).arg(to).arg(command);
        ssh
    }

    fn ssh_with(&self, key: &str, name: &str, command: &str) -> Run {
        Run::of(&mut self.ssh_command(key, name, command))
    }

    fn ssh(&self, name: &str, command: &str) -> String {
        self.ssh_with(name, name, command).ok().trim().to_owned()
    }

    fn field(&self, name: &str, field: &str) -> String {
        let json = self.lab.seedbed(&["list", name, "--format", "json"]).ok();
        let vms: serde_json::Value = serde_json::from_str(&json).unwrap();
        vms[0][field].as_str().unwrap().to_owned()
    }

    fn host_key(&self, name: &str) -> String {
        self.ssh(name, "cat /etc/ssh/ssh_host_ed25519_key.pub | cut -d' ' -f2")
    }
}

impl Drop for Guests {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in NAMES {
                let log = self.lab.seedbed(&["log", name]).stdout;
                let tail: Vec<_> = log.lines().rev().take(60).collect();
                eprintln!("-- console of {name}, newest first\n{}", tail.join("\n"));
            }
        }
        fs::remove_dir_all(&self.resolver).ok();
    }
}

#[test]
fn two_clones_of_one_debian_image_configure_themselves() {
    if !root() {
        return;
    }
    let mut guests = Guests::launched();
    // It takes a minute, which the checks below have use for.
    let upgrade = Upgrade::begun(&guests);
    for name in NAMES {
        knows_who_it_is(&guests, name);
        has_only_its_own_keys(&guests, name);
        uses_its_disks(&guests, name);
        did_what_the_user_said(&guests, name);
    }
    let [one, two] = NAMES.map(|name| Life::of(&guests, name));
    assert!(
        one.machine_id != two.machine_id && one.host_key != two.host_key,
        "{one:?} {two:?}"
    );

    knows_its_neighbour(&guests);
    is_told_its_secrets_no_more(&guests);
    a_key_that_is_added_counts_at_once(&guests);
    restarted_are_the_same(&mut guests, upgrade);
    rebooted_without_a_daemon_are_the_same(&mut guests);
}

fn knows_who_it_is(guests: &Guests, name: &str) {
    assert_eq!(guests.ssh(name, "hostname"), name);
    assert_eq!(guests.ssh(name, "hostname -f"), format!("{name}.lab"));
    let address = guests.ssh(name, "ip -4 -o addr show scope global | awk '{print $4}'");
    assert_eq!(address, guests.field(name, "ip") + "/24");
    assert_eq!(
        guests.ssh(name, "cat /var/lib/cloud/data/instance-id"),
        guests.field(name, "uuid")
    );
}

fn has_only_its_own_keys(guests: &Guests, name: &str) {
    let keys = guests.ssh(
        name,
        "cat ~/.ssh/authorized_keys; sudo cat /root/.ssh/authorized_keys",
    );
    let own = fs::read_to_string(guests.key(name) + ".pub").unwrap();
    assert!(keys.contains(own.split(' ').nth(1).unwrap()), "{keys}");
    // Each key's comment is the name of the VM it was registered for.
    let mine = format!(" {name}");
    assert!(
        keys.lines()
            .filter(|line| !line.is_empty())
            .all(|line| line.trim_end().ends_with(&mine)),
        "{keys}"
    );
    let other = if name == "web1" { "web2" } else { "web1" };
    let foreign = guests.ssh_with(other, name, "true");
    assert_eq!(foreign.code, 255, "{other}'s key opens {name}: {foreign}");
}

/// The user's own user-data ran too: cloud-init merges it with what Seedbed gives as vendor-data.
fn did_what_the_user_said(guests: &Guests, name: &str) {
    assert_eq!(
        guests.ssh(name, "ls /run/said-by-user-data"),
        "/run/said-by-user-data"
    );
    guests.ssh(name, "findmnt /mnt/scratch && ls /run/said-by-bootcmd");
}

/// The swap is on the second disk, all of it, and in use; the root file system has grown with its disk.
fn uses_its_disks(guests: &Guests, name: &str) {
    let swap = guests.ssh(name, "/usr/sbin/swapon --show=NAME,SIZE --noheadings --bytes");
    assert!(
        swap.starts_with("/dev/vdb") && swap.ends_with("268431360"),
        "{swap}"
    );
    let root = guests.ssh(name, "df --output=size -BM / | tail -1");
    assert!(
        root.trim().trim_end_matches('M').parse::<u32>().unwrap() > 3500,
        "{root}"
    );
}

/// By its bare name, from inside; and each reads its own documents at the URL that is the same for both.
fn knows_its_neighbour(guests: &Guests) {
    for (from, to) in [("web1", "web2"), ("web2", "web1")] {
        let found = guests.ssh(from, &format!("getent hosts {to}"));
        assert!(found.starts_with(&guests.field(to, "ip")), "{from}: {found}");
    }
    assert!(
        guests
            .ssh("web1", "ping -c 1 -W 10 web2")
            .contains(" 0% packet loss")
    );
    let read = "python3 -c \"import urllib.request as u; \
                print(u.urlopen('http://10.77.0.1/nocloud/meta-data').read().decode())\"";
    for name in NAMES {
        assert!(guests.ssh(name, read).contains(&format!("\"{name}.lab\"")));
    }
}

/// What a program in the guest reads that asks for a document; root's also knows the URL that the agent was led to.
fn reads(guests: &Guests, name: &str, document: &str, as_root: bool) -> String {
    let url = if as_root {
        "$(sudo sed 's/^ds=nocloud-net;s=//' /sys/class/dmi/id/product_serial)"
    } else {
        "http://10.77.0.1/nocloud/"
    };
    let read = format!(
        "python3 -c \"import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode())\" {url}{document}"
    );
    guests.ssh(name, &read)
}

/// It did what its user-data says, and nobody in the guest reads that any more; what was not marked is read for ever.
fn is_told_its_secrets_no_more(guests: &Guests) {
    for as_root in [false, true] {
        assert_eq!(reads(guests, "web2", "user-data", as_root), "");
        assert!(reads(guests, "web2", "meta-data", as_root).contains("web2.lab"));
        assert_eq!(reads(guests, "web1", "user-data", as_root), USER_DATA.trim());
    }
    let shown = guests.field("web2", "secrets");
    assert!(
        shown.contains("withheld since its first boot succeeded"),
        "{shown}"
    );
    assert!(shown.contains("read without them: 2 times"), "{shown}");
}

/// `set --key` on a running guest: the new key opens it at once, because sshd asks; and the old one is in the guest still.
fn a_key_that_is_added_counts_at_once(guests: &Guests) {
    let keys = NAMES.map(|name| guests.key(name) + ".pub");
    for name in NAMES {
        let refused = guests.ssh_with("web1", "web2", "true");
        assert_eq!(refused.code, 255, "{refused}");
        let told = guests
            .lab
            .seedbed(&["set", name, "--key", &keys[0], "--key", &keys[1]])
            .ok();
        assert!(told.contains("keys: a new one may log in at once"), "{told}");
        let other = if name == "web1" { "web2" } else { "web1" };
        assert_eq!(guests.ssh_with(other, name, "hostname").ok().trim(), name);
        let own = guests.key(name) + ".pub";
        guests.lab.seedbed(&["set", name, "--key", &own]).ok();
        assert_eq!(
            guests.ssh_with(other, name, "true").code,
            255,
            "{other}'s key still opens {name}"
        );
        guests.ssh(name, "true");
    }
}

/// What a restart must not change.
#[derive(Debug, PartialEq, Eq)]
struct Life {
    address: String,
    host_key: String,
    machine_id: String,
    /// When the steps of the first boot ran, and how many instances cloud-init has seen.
    first_boot: String,
}

impl Life {
    fn of(guests: &Guests, name: &str) -> Self {
        Self {
            address: guests.field(name, "ip"),
            host_key: guests.host_key(name),
            machine_id: guests.ssh(name, "cat /etc/machine-id"),
            first_boot: guests.ssh(
                name,
                "cd /var/lib/cloud && stat -c %Y instance/sem/config_ssh instance/sem/config_phone_home && ls instances",
            ),
        }
    }
}

/// `restart`, with a daemon that is itself restarted again and again meanwhile: same address, same host keys, same instance, and no second first boot; and a kernel that was installed in
/// the guest is the one it runs.
fn restarted_are_the_same(guests: &mut Guests, upgrade: Option<Upgrade>) {
    let wanted = upgrade.map(Upgrade::finished);
    let boot_id = |guests: &Guests, name| guests.ssh(name, "cat /proc/sys/kernel/random/boot_id");
    let before = NAMES.map(|name| (Life::of(guests, name), boot_id(guests, name)));
    let all = |guests: &Guests, verb: &[&str]| guests.lab.seedbed(&[verb, &NAMES[..]].concat()).ok();
    all(guests, &["restart", "--deadline", "120s"]);
    for _ in 0..5 {
        guests.lab.stop_daemon();
        guests.lab.start_daemon();
        eventually(Duration::from_secs(8), || false);
    }
    all(guests, &["wait", "--for", "ready", "--timeout", "15m"]);
    for (name, (life, booted)) in NAMES.into_iter().zip(before) {
        assert_ne!(boot_id(guests, name), booted, "{name} did not restart");
        guests.ssh(name, "cloud-init status --wait >/dev/null; true");
        assert_eq!(
            Life::of(guests, name),
            life,
            "{name} is another after its restart"
        );
        uses_its_disks(guests, name);
        guests.ssh(name, "findmnt /mnt/scratch && ls /run/said-by-bootcmd");
    }
    knows_its_neighbour(guests);
    if let Some(kernel) = wanted {
        assert_eq!(
            guests.ssh("web2", "uname -r"),
            kernel,
            "the new kernel does not run"
        );
    }
}

/// A reboot while no daemon runs: cloud-init asks for nothing. It read its documents as OpenStack's, whose id the firmware
/// confirms; or it was pinned to what it has after its first boot. Once the daemon is back the guest has its address again, and
/// is who it was.
fn rebooted_without_a_daemon_are_the_same(guests: &mut Guests) {
    let before = NAMES.map(|name| (Life::of(guests, name), accounts(guests, name)));
    for (name, datasource) in NAMES.into_iter().zip(["openstack", "nocloud"]) {
        let read = guests.ssh(name, "cloud-init query datasource 2>/dev/null || cloud-id");
        assert!(read.to_lowercase().contains(datasource), "{name}: {read}");
    }
    for name in NAMES {
        guests.ssh(name, "sudo systemd-run --on-active=3 systemctl reboot");
    }
    guests.lab.stop_daemon();
    let prompts = |index: usize| {
        let console = guests
            .lab
            .path(&format!("state/vms/{}/console.log", NAMES[index]));
        let text = fs::read(console).unwrap_or_default();
        String::from_utf8_lossy(&text).matches(" login:").count()
    };
    let seen = [prompts(0), prompts(1)];
    // Without DHCP it waits two minutes for a network.
    let up = eventually(Duration::from_secs(900), || {
        prompts(0) > seen[0] && prompts(1) > seen[1]
    });
    assert!(up, "the guests did not come up without a daemon");
    guests.lab.start_daemon();
    // Its DHCP client asks again within a minute or so.
    for name in NAMES {
        let back = eventually(Duration::from_secs(300), || {
            guests.ssh_with(name, name, "true").code == 0
        });
        assert!(back, "{name} has no network again");
        guests.ssh(name, "cloud-init status --wait >/dev/null; true");
    }
    for (name, (life, known)) in NAMES.into_iter().zip(before) {
        assert_eq!(Life::of(guests, name), life, "{name} is another after its reboot");
        assert_eq!(accounts(guests, name), known, "{name}");
        knows_who_it_is(guests, name);
    }
}

/// The accounts and the key that opens them.
fn accounts(guests: &Guests, name: &str) -> String {
    guests.ssh(
        name,
        "getent passwd | sort; cat ~/.ssh/authorized_keys; hostname -f",
    )
}

/// A kernel package being installed in `web2`, as its admin would upgrade it.
struct Upgrade {
    kernel: String,
    install: Child,
}

impl Upgrade {
    /// `None`, and a word why, where apt on this host knows no newer kernel for the guest.
    fn begun(guests: &Guests) -> Option<Self> {
        let running = guests.ssh("web2", "uname -r");
        let Some((kernel, package)) = newer_kernel(&running) else {
            say(&format!(
                "skipped: the kernel upgrade; apt here has no kernel for bookworm newer than {running}"
            ));
            return None;
        };
        let mut install = guests.ssh_command(
            "web2",
            "web2",
            "cat >kernel.deb && sudo DEBIAN_FRONTEND=noninteractive dpkg -i kernel.deb 2>&1 && rm kernel.deb",
        );
        install.stdin(fs::File::open(package).unwrap());
        install.stdout(Stdio::piped()).stderr(Stdio::piped());
        Some(Self {
            kernel,
            install: install.spawn().unwrap(),
        })
    }

    /// The kernel that the next boot is to run.
    fn finished(self) -> String {
        let output = self.install.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let failed = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "dpkg in web2:\n{said}{failed}");
        self.kernel
    }
}

/// A kernel for bookworm that is newer than the running one, and its package: kept beside the image, or else downloaded.
fn newer_kernel(running: &str) -> Option<(String, PathBuf)> {
    let search = [
        "search",
        "--names-only",
        r"^linux-image-(6[.]1[.]0-[0-9]+|[0-9.]+[+]deb12[.0-9]*)-cloud-amd64$",
    ];
    let known = Run::of(Command::new("apt-cache").args(search)).stdout;
    let known = known
        .lines()
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned);
    let image = guests::debian();
    let cache = image.parent().unwrap();
    let newest = |packages: Vec<String>| {
        let kernels = packages
            .iter()
            .filter_map(|name| name.strip_prefix("linux-image-"));
        let newest = kernels.max_by_key(|kernel| version(kernel))?.to_owned();
        (version(&newest) > version(running)).then_some(newest)
    };
    let kept = fs::read_dir(cache).into_iter().flatten().flatten();
    let kept = kept.filter_map(|entry| {
        let file = entry.file_name().into_string().ok()?;
        file.strip_suffix(".deb").map(str::to_owned)
    });
    if let Some(kernel) = newest(kept.collect()) {
        let package = cache.join(format!("linux-image-{kernel}.deb"));
        return Some((kernel, package));
    }
    let kernel = newest(known.collect())?;
    let folder = tempfile::tempdir_in(cache).unwrap();
    let name = format!("linux-image-{kernel}");
    let download = Run::of(
        Command::new("apt-get")
            .args(["-q", "download", &name])
            .current_dir(folder.path()),
    );
    // A package list can be older than what it lists.
    let Some(file) = fs::read_dir(folder.path())
        .unwrap()
        .flatten()
        .next()
        .filter(|_| download.code == 0)
    else {
        say(&download.to_string());
        return None;
    };
    let package = cache.join(format!("{name}.deb"));
    fs::rename(file.path(), &package).unwrap();
    Some((kernel, package))
}

/// The numbers in a kernel's name, which order as its versions do.
fn version(kernel: &str) -> Vec<u32> {
    let numbers = kernel
        .trim_end_matches("-cloud-amd64")
        .split(|c: char| !c.is_ascii_digit());
    numbers.filter_map(|number| number.parse().ok()).collect()
}
