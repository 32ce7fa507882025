//! The releases beside the one that most tests boot: a guest of Debian 11 and one of Debian 13 come up as themselves, and a reboot
//! while no daemon runs changes nothing.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::lab::{Lab, Run, eventually};
use crate::{guests, root};

/// Each guest, its suite, the view of its image, and the version of cloud-init that reads its documents. The older one is kept to
/// its instance by the unit that `default` leaves in it, the newer one because it takes OpenStack's documents.
const GUESTS: [(&str, &str, &str, &str); 2] = [
    ("eleven", "bullseye", "nocloud", " 20.4"),
    ("thirteen", "trixie", "auto", " 25.1"),
];

struct Releases {
    lab: Lab,
    key: PathBuf,
}

impl Releases {
    fn launched() -> Self {
        let lab = Lab::new();
        let key = lab.path("key");
        Run::of(
            Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(&key),
        )
        .ok();
        let public = lab.path("key.pub").to_string_lossy().into_owned();
        let launches: Vec<_> = GUESTS
            .iter()
            .map(|(name, suite, view, _)| {
                let disk = guests::debian_of(suite).to_string_lossy().into_owned();
                let add = [
                    "image",
                    "add",
                    suite,
                    &disk,
                    "--default-user",
                    "debian",
                    "--view",
                    view,
                ];
                lab.seedbed(&add).ok();
                let launch = [
                    "launch",
                    name,
                    "--image",
                    suite,
                    "--key",
                    &public,
                    "--swap",
                    "64M",
                    "--wait=900",
                ];
                lab.command(&launch).stdout(Stdio::null()).spawn().unwrap()
            })
            .collect();
        for (mut launch, (name, ..)) in launches.into_iter().zip(GUESTS) {
            let up = launch.wait().unwrap().success();
            assert!(up, "{}", lab.seedbed(&["log", name]).stdout);
        }
        Self { lab, key }
    }

    fn try_ssh(&self, name: &str, command: &str) -> Run {
        let key = self.key.to_string_lossy().into_owned();
        let words = ["ssh", name, "-i", &key, "--", command];
        self.lab.seedbed(&words)
    }

    fn ssh(&self, name: &str, command: &str) -> String {
        self.try_ssh(name, command).ok().trim().to_owned()
    }

    /// What a reboot must not change.
    fn life(&self, name: &str) -> String {
        self.ssh(
            name,
            "hostname -f; cat /etc/ssh/ssh_host_ed25519_key.pub /etc/machine-id; getent passwd | sort; \
             ls /var/lib/cloud/instances; stat -c %Y /var/lib/cloud/instance/sem/config_ssh; \
             cat ~/.ssh/authorized_keys",
        )
    }

    fn prompts(&self, name: &str) -> usize {
        let console = self.lab.path(&format!("state/vms/{name}/console.log"));
        let text = fs::read(console).unwrap_or_default();
        String::from_utf8_lossy(&text).matches(" login:").count()
    }
}

#[test]
fn guests_of_debian_11_and_13_are_themselves_and_stay_so_when_nobody_answers() {
    if !root() {
        return;
    }
    let mut guests = Releases::launched();
    let before = GUESTS.map(|(name, suite, view, version)| {
        let told = guests.ssh(name, "cloud-init --version 2>&1");
        assert!(told.contains(version), "{suite}: {told}");
        assert_eq!(guests.ssh(name, "hostname"), name);
        assert!(
            guests.ssh(name, "cat /proc/swaps").contains("/dev/vdb"),
            "{suite}"
        );
        let source = guests.ssh(name, "cloud-id");
        let wanted = if view == "auto" { "openstack" } else { view };
        assert!(source.contains(wanted), "{suite}: {source}");
        guests.life(name)
    });
    let seen = GUESTS.map(|(name, ..)| guests.prompts(name));
    for (name, ..) in GUESTS {
        guests.ssh(name, "sudo systemd-run --on-active=3 systemctl reboot");
    }
    guests.lab.stop_daemon();
    let up = eventually(Duration::from_secs(900), || {
        GUESTS
            .iter()
            .zip(seen)
            .all(|((name, ..), seen)| guests.prompts(name) > seen)
    });
    assert!(up, "the guests did not come up without a daemon");
    guests.lab.start_daemon();
    for ((name, suite, ..), life) in GUESTS.into_iter().zip(before) {
        let back = eventually(Duration::from_secs(300), || {
            guests.try_ssh(name, "true").code == 0
        });
        assert!(
            back,
            "{suite} has no network again:\n{}",
            guests.lab.seedbed(&["log", name]).stdout
        );
        guests.ssh(name, "cloud-init status --wait >/dev/null; true");
        assert_eq!(guests.life(name), life, "{suite} is another after its reboot");
    }
}
