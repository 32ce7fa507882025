//! Who may enter, and how a host shows that it is itself: judged by OpenSSH, dig and a real guest.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::lab::{Lab, Run};
use crate::{guests, root};

const NAS: &str = "52:54:00:aa:00:21";

/// A lab whose VMs get host keys of ours.
fn lab() -> Lab {
    let mut lab = Lab::without_daemon();
    let config = lab.path("config.yaml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}  ssh_host_keys: generated\n")).unwrap();
    lab.start_daemon();
    lab
}

fn shown(lab: &Lab, name: &str) -> serde_json::Value {
    let json = lab.seedbed(&["list", name, "--format", "json"]).ok();
    let vms: serde_json::Value = serde_json::from_str(&json).unwrap();
    vms[0].clone()
}

fn host_key(lab: &Lab, name: &str) -> String {
    shown(lab, name)["host_keys"][0].as_str().unwrap().to_owned()
}

fn dig(lab: &Lab, words: &[&str]) -> String {
    let all = [&["dig", "@10.77.0.1", "+tries=1", "+time=3"], words].concat();
    Run::of(&mut lab.inside(&all)).ok()
}

/// A new key pair in the lab; the path of its private half.
fn key_pair(lab: &Lab, name: &str) -> String {
    let path = lab.path(name).to_string_lossy().into_owned();
    Run::of(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", &path])).ok();
    path
}

/// What `ssh-keygen -r` writes for a public key, of fingerprint type 2.
fn sshfp_of(lab: &Lab, name: &str, public: &str) -> String {
    let file = lab.path(&format!("{name}.pub"));
    fs::write(&file, public).unwrap();
    let records = Run::of(Command::new("ssh-keygen").args(["-r", name, "-f"]).arg(&file)).ok();
    let record = records.lines().find(|line| line.contains("SSHFP 4 2 ")).unwrap();
    record.split("SSHFP ").nth(1).unwrap().to_owned()
}

/// dig breaks long hexadecimal digits into groups, and writes them in capitals.
fn joined(record: &str) -> String {
    let mut words = record.split_whitespace();
    let (algorithm, kind) = (words.next().unwrap(), words.next().unwrap());
    format!("{algorithm} {kind} {}", words.collect::<String>().to_lowercase())
}

#[test]
fn sshfp_answers_zones_and_files_say_what_ssh_keygen_says_before_anything_boots() {
    if !root() {
        return;
    }
    let lab = lab();
    lab.seedbed(&["add", "nas", "--mac", NAS, "--alias", "files"])
        .ok();
    let key = host_key(&lab, "nas");
    let expected = sshfp_of(&lab, "nas.lab.", &key);
    assert_eq!(joined(&dig(&lab, &["+short", "nas.lab", "SSHFP"])), expected);
    let alias = dig(&lab, &["+short", "files.lab", "SSHFP"]);
    assert_eq!(joined(alias.lines().nth(1).unwrap()), expected, "{alias}");
    let zone = lab.seedbed(&["export", "zone"]).ok();
    assert!(zone.contains(&format!("nas IN SSHFP {expected}\n")), "{zone}");
    let transferred = dig(&lab, &["lab", "AXFR"]);
    let line = transferred
        .lines()
        .find(|line| line.contains("SSHFP"))
        .unwrap_or_else(|| panic!("{transferred}"));
    assert_eq!(joined(line.split("SSHFP").nth(1).unwrap()), expected);
    // The files are there when the command returns.
    let known = fs::read_to_string(lab.path("state/known_hosts")).unwrap();
    assert!(known.contains(&key) && known == lab.seedbed(&["export", "known_hosts"]).ok());
    let config = fs::read_to_string(lab.path("state/ssh_config")).unwrap();
    assert_eq!(config, lab.seedbed(&["export", "ssh_config"]).ok());
    let found = Run::of(
        Command::new("ssh-keygen")
            .args(["-F", "nas.lab", "-f"])
            .arg(lab.path("state/known_hosts")),
    );
    assert!(found.ok().contains(&key));

    // Who is registered again is the same host; who gives the identity up is another.
    lab.seedbed(&["delete", "nas"]).ok();
    assert_eq!(dig(&lab, &["+short", "nas.lab", "SSHFP"]), "");
    lab.seedbed(&["add", "nas", "--mac", NAS]).ok();
    assert_eq!(host_key(&lab, "nas"), key);
    lab.seedbed(&["delete", "nas"]).ok();
    lab.seedbed(&["add", "nas", "--mac", NAS, "--new-identity"]).ok();
    assert_ne!(host_key(&lab, "nas"), key);
    let renewed = sshfp_of(&lab, "nas.lab.", &host_key(&lab, "nas"));
    assert_eq!(joined(&dig(&lab, &["+short", "nas.lab", "SSHFP"])), renewed);
}

#[test]
fn a_key_of_the_ring_is_served_at_once_and_no_longer_when_it_is_deleted() {
    if !root() {
        return;
    }
    let mut lab = lab();
    let (ann, ops) = (key_pair(&lab, "ann"), key_pair(&lab, "ops"));
    let own = format!("{}.pub", key_pair(&lab, "own"));
    let (ann, ops) = (format!("{ann}.pub"), format!("{ops}.pub"));
    let text = |path: &str| fs::read_to_string(path).unwrap().trim().to_owned();
    lab.seedbed(&["key", "add", "ops", "--file", &ops]).ok();
    lab.seedbed(&["add", "nas", "--mac", NAS, "--ip", "10.77.0.50", "--owner", "ann"])
        .ok();
    lab.seedbed(&["set", "nas", "--key", &own, "--key", "ops"]).ok();
    let client = lab.client(NAS);
    client.set_address("10.77.0.50/24");
    let meta = || {
        let url = "http://10.77.0.1/nocloud/meta-data";
        client.run(&["curl", "-fsS", "--max-time", "5", url]).ok()
    };
    let serves = |path: &str| meta().contains(&text(path));
    assert!(serves(&own) && serves(&ops) && !serves(&ann));
    let added = lab
        .seedbed(&["key", "add", "ann", "--file", &ann, "--owner", "ann"])
        .ok();
    assert!(added.contains("may log in to 1 VM"), "{added}");
    assert!(serves(&own) && serves(&ops) && serves(&ann));

    let list = lab.seedbed(&["key", "list"]).ok();
    let print = Run::of(Command::new("ssh-keygen").args(["-lf", &ann])).ok();
    let print = print.split(' ').nth(1).unwrap();
    let row = list.lines().find(|line| line.starts_with("ann ")).unwrap();
    let words: Vec<_> = row.split_whitespace().collect();
    assert_eq!(
        words,
        ["ann", "ann", "ssh-ed25519", print, "ann", "nas"],
        "{list}"
    );

    let gone = lab.seedbed(&["key", "rm", "ann", "ops"]).ok();
    assert!(gone.contains("1 VM is served it no longer"), "{gone}");
    assert!(serves(&own) && !serves(&ops) && !serves(&ann));
    lab.seedbed(&["key", "rm", "ann"])
        .refused(3, &["no keys named ann"]);
}

#[test]
fn keys_come_from_an_agent_and_from_github_only_where_there_is_a_way_out() {
    if !root() {
        return;
    }
    let lab = lab();
    let pair = key_pair(&lab, "agents-own");
    // An agent for the life of one command, as ssh-agent(1) runs one.
    let socket = lab.path("run/seedbed.sock");
    let script = format!("ssh-add -q {pair} && exec \"$0\" key add laptop --agent");
    let mut add = lab.inside(&["ssh-agent", "sh", "-c", &script, crate::lab::SEEDBED]);
    add.env("SEEDBED_SOCKET", socket);
    Run::of(&mut add).ok();
    let list = lab.seedbed(&["key", "list", "--format", "json"]).ok();
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    assert_eq!(
        (&list[0]["source"], &list[0]["keys"][0]["comment"]),
        (&"agent".into(), &"agents-own".into())
    );
    // A namespace without a default route has no way to GitHub.
    lab.seedbed(&["key", "add", "ann", "gh:ann"])
        .refused(1, &["can not fetch https://github.com/ann.keys", "--file"]);
    lab.seedbed(&["key", "add", "ann", "gh:ann/../x"])
        .refused(2, &["no name of a GitHub account"]);
}

/// Launches `web1` with an account whose password comes by standard input, and waits until it is ready.
fn launched(lab: &Lab, key: &str) {
    let user = "ann,sudo,groups=adm:testers,shell=/bin/sh";
    let mut launch = lab.command(&[
        "launch",
        "web1",
        "--image",
        "debian-12",
        "--key",
        &format!("{key}.pub"),
        "--user",
        user,
        "--password-prompt",
        "--wait=900",
    ]);
    let mut launch = launch.stdin(Stdio::piped()).spawn().unwrap();
    let mut typed = launch.stdin.take().unwrap();
    typed.write_all(b"correct horse\n").unwrap();
    drop(typed);
    assert!(
        launch.wait().unwrap().success(),
        "{}",
        lab.seedbed(&["log", "web1"]).stdout
    );
}

/// Real `ssh`, told nothing but the generated configuration and the private key.
fn ssh(lab: &Lab, config: &Path, (key, to): (&str, &str), command: &str) -> Run {
    let mut ssh = lab.inside(&["ssh", "-F"]);
    ssh.arg(config)
        .args([
            "-o",
            "BatchMode=yes",
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            "ConnectTimeout=20",
        ])
        .args(["-i", key, to, command]);
    Run::of(&mut ssh)
}

#[test]
fn a_guest_is_known_at_the_first_connection_and_still_the_same_host_when_it_is_made_anew() {
    if !root() {
        return;
    }
    let lab = lab();
    let image = guests::debian().to_string_lossy().into_owned();
    lab.seedbed(&["image", "add", "debian-12", &image, "--default-user", "debian"])
        .ok();
    let key = key_pair(&lab, "key");
    launched(&lab, &key);
    let (config, known) = (lab.path("state/ssh_config"), lab.path("state/known_hosts"));
    // The very first connection, by a user whose home is empty: nothing is asked, nothing is added.
    assert!(!lab.path(".ssh").exists());
    assert_eq!(
        ssh(&lab, &config, (&key, "web1"), "hostname -f").ok(),
        "web1.lab\n"
    );
    assert_eq!(
        ssh(
            &lab,
            &config,
            (&key, "web1"),
            "ls /etc/ssh | grep -c ^ssh_host_.*_key$"
        )
        .ok(),
        "1\n",
        "the guest has our key and no other"
    );
    has_its_account(&lab, &config, &key);
    hides_what_is_secret(&lab);
    let by_us = lab.seedbed(&["ssh", "web1", "--identity", &key, "--", "echo", "in"]);
    assert_eq!(by_us.ok(), "in\n");

    // Somebody kept what is known of the first web1.
    let kept = lab.path("kept_known_hosts");
    fs::copy(&known, &kept).unwrap();
    let of_kept = lab.path("kept_ssh_config");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(
        &of_kept,
        text.replace(&*known.to_string_lossy(), &kept.to_string_lossy()),
    )
    .unwrap();
    ssh(&lab, &of_kept, (&key, "web1"), "touch first-life").ok();
    lab.seedbed(&["delete", "web1", "--force"]).ok();
    launched(&lab, &key);
    let anew = ssh(
        &lab,
        &of_kept,
        (&key, "web1"),
        "test -e first-life || echo another disk",
    );
    assert_eq!(anew.ok(), "another disk\n", "and the same host to ssh");

    // Strict it is: a host with another key is not talked to.
    let other = nobodys_key(&lab);
    fs::write(&kept, format!("web1 {other}\n")).unwrap();
    let refused = ssh(&lab, &of_kept, (&key, "web1"), "true");
    refused.refused(255, &["Host key verification failed"]);
}

/// A public key that is nobody's.
fn nobodys_key(lab: &Lab) -> String {
    let public = fs::read_to_string(format!("{}.pub", key_pair(lab, "nobodys"))).unwrap();
    public.trim().to_owned()
}

fn has_its_account(lab: &Lab, config: &Path, key: &str) {
    let ann = |command: &str| {
        ssh(lab, config, (key, "ann@web1"), command)
            .ok()
            .trim()
            .to_owned()
    };
    assert_eq!(ann("id -un; id -Gn"), "ann\nann adm testers");
    assert_eq!(ann("getent passwd ann | cut -d: -f7"), "/bin/sh");
    assert_eq!(ann("sudo -n id -un"), "root");
    let hash = ann("sudo -n cut -d: -f2 /etc/shadow | grep -F '$6$rounds='");
    let again =
        Run::of(Command::new("perl").args(["-e", "print crypt($ARGV[0], $ARGV[1])", "correct horse", &hash]));
    assert_eq!(again.ok(), hash);
    // The image's own account is still there, with the same key.
    assert_eq!(ssh(lab, config, (key, "debian@web1"), "id -un").ok(), "debian\n");
}

/// Neither hash nor private key is where people look; with `--show-secrets` both are.
fn hides_what_is_secret(lab: &Lab) {
    let looks: [&[&str]; 4] = [
        &["show", "web1"],
        &["list", "--format", "json"],
        &["render", "web1", "--as", "nocloud"],
        &["log", "web1"],
    ];
    for look in looks {
        let said = lab.seedbed(look).ok();
        assert!(
            !said.contains("$6$") && !said.contains("PRIVATE KEY"),
            "{look:?}: {said}"
        );
    }
    let log = lab.daemon_log();
    assert!(!log.contains("$6$") && !log.contains("PRIVATE KEY") && !log.contains("correct horse"));
    let whole = lab
        .seedbed(&["render", "web1", "--as", "nocloud", "--show-secrets"])
        .ok();
    assert!(whole.contains("$6$") && whole.contains("PRIVATE KEY"));
    assert!(
        lab.seedbed(&["show", "web1"])
            .ok()
            .contains("ann: sudo, groups adm testers, shell /bin/sh, password")
    );
}
