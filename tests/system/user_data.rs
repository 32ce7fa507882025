//! What is checked of a user-data before a launch, beside what cloud-init's own schema says of the same documents.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use seedbed::seed::{check_user_data, findings};
use serde::Deserialize;

use crate::cloud_init::code;
use crate::guests::{KEY, add_tiny};
use crate::lab::{Lab, Run};
use crate::root;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/system/user-data");
const DRIVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/system/user_data.py");
const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/seed/check/keys.txt");
const BAD: &str =
    "#cloud-config\nhostname: web1\nusers:\n  - name: ann\n    ssh_authorised_keys: [x]\npackages: curl\n";

/// What ours can not see: limits on lengths, numbers and texts, and keys that a module of the image's own may have.
const UNSEEN: [&str; 11] = [
    "unseen-a-growpart-mode-that-is-true.yaml",
    "unseen-a-key-nobody-knows.yaml",
    "unseen-a-list-with-the-same-twice.yaml",
    "unseen-a-module-nobody-has.yaml",
    "unseen-a-mount-with-too-many-fields.yaml",
    "unseen-a-negative-timeout.yaml",
    "unseen-a-swap-of-no-size.yaml",
    "unseen-an-empty-list-in-a-mapping.yaml",
    "unseen-an-empty-list.yaml",
    "unseen-an-empty-mapping.yaml",
    "unseen-both-spellings.yaml",
];

/// A document, and whether a release's schema accepts it.
#[derive(Debug, Deserialize)]
struct Judged {
    name: String,
    text: String,
    accepted: bool,
}

impl Judged {
    fn is_refused_by_us(&self) -> bool {
        check_user_data(self.text.as_bytes()).is_err()
            || !findings(self.text.as_bytes(), None).problems().is_empty()
    }
}

/// What a release's schema says.
#[derive(Debug, Deserialize)]
struct Said {
    documents: Vec<Judged>,
    /// Places that it has and our table has not.
    missing: Vec<String>,
}

fn said_by(suite: &str) -> Said {
    let mut command = Command::new("/usr/bin/python3");
    command.args([DRIVER, KEYS]).arg(code(suite)).arg(FOLDER);
    // What its authors show to their users.
    command.args(["bookworm", "sid"].map(|suite| code(suite).join("usr/share/doc/cloud-init/examples")));
    serde_json::from_str(&Run::of(&mut command).ok()).unwrap()
}

fn by_name(documents: Vec<Judged>) -> BTreeMap<String, Judged> {
    documents.into_iter().map(|one| (one.name.clone(), one)).collect()
}

#[test]
fn what_cloud_init_accepts_is_never_refused_and_what_it_refuses_is_seen_but_for_a_few() {
    if !root() {
        return;
    }
    let (old, new) = (said_by("bookworm"), said_by("sid"));
    assert_eq!((&old.missing[..], &new.missing[..]), (&[][..], &[][..]));
    let (old, new) = (by_name(old.documents), by_name(new.documents));
    let examples = new.keys().filter(|name| name.contains("/examples/")).count();
    assert!(new.len() > 3_000 && examples > 40, "{} {examples}", new.len());
    let mut unseen = Vec::new();
    for (name, judged) in &new {
        let both = judged.accepted && old[name].accepted;
        let refused = judged.is_refused_by_us();
        assert!(!both || !refused, "cloud-init accepts {judged:?}");
        let corpus = name.strip_suffix(".yaml").filter(|name| !name.contains('/'));
        let Some((kind, _)) = corpus.and_then(|name| name.split_once('-')) else {
            continue;
        };
        assert_eq!(kind == "good", both, "{judged:?}");
        match kind {
            "unseen" => unseen.push(name.as_str()),
            "bad" if name.contains("lenient") => {
                let warnings = findings(judged.text.as_bytes(), None).warnings();
                assert!(!refused && !warnings.is_empty(), "{judged:?}");
            }
            _ => {}
        }
        let seen = kind == "bad" && !name.contains("lenient");
        assert_eq!(refused, seen, "{judged:?}");
    }
    assert_eq!(unseen, UNSEEN);
}

/// Puts a cloud-init of this suite into a directory, as a host has it in its PATH.
fn install(lab: &Lab, suite: &str) -> PathBuf {
    let library = code(suite).join("usr/lib/python3/dist-packages");
    let script = format!(
        "export PYTHONPATH={} PYTHONDONTWRITEBYTECODE=1; exec /usr/bin/python3 -m cloudinit.cmd.main \"$@\"",
        library.display()
    );
    tool(lab, suite, &script)
}

fn tool(lab: &Lab, name: &str, script: &str) -> PathBuf {
    let folder = lab.path(name);
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("cloud-init");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    for place in [&folder, &path] {
        fs::set_permissions(place, fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

fn add(lab: &Lab, name: &str, tool: &Path, extra: &[&str]) -> Run {
    let user_data = lab.path("user-data").to_string_lossy().into_owned();
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", tool.display());
    let mut command = lab.command(&["add", name, "--user-data", &user_data]);
    command.args(extra).env("PATH", path);
    Run::of(command.env_remove("SUDO_UID").env_remove("SUDO_GID"))
}

#[test]
fn the_hosts_cloud_init_is_asked_too_and_leaves_nothing_behind() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    let left = Path::new("/run/cloud-init").exists();
    let user_data = lab.path("user-data");
    // Of no length that ours looks at.
    fs::write(
        &user_data,
        "#cloud-config\npackages: []\nruncmd: [x]\nswap: {size: much}\n",
    )
    .unwrap();
    for (suite, version) in [("bookworm", "22.4.2"), ("trixie", "25.1.4"), ("sid", "26.2")] {
        let tool = install(&lab, suite);
        let told = format!("cloud-init {version} on this host: swap.size: 'much'");
        add(&lab, "nas", &tool, &[]).refused(1, &[&told, "--force"]);
    }
    fs::write(&user_data, "#cloud-config\nruncmd: [x]\napt_update: true\n").unwrap();
    let run = add(&lab, "nas1", &install(&lab, "bookworm"), &[]);
    assert!(
        run.stderr
            .contains("cloud-init 22.4.2 on this host: apt_update: DEPRECATED"),
        "{run}"
    );
    run.ok();
    // 20.4 has it as a tool for developers.
    fs::write(
        &user_data,
        "#cloud-config\nruncmd: [[]]\nntp: {servers: [a, a]}\n",
    )
    .unwrap();
    add(&lab, "nas2", &install(&lab, "bullseye"), &[])
        .refused(1, &["cloud-init 20.4.1 on this host: ntp.servers"]);
    assert_eq!(Path::new("/run/cloud-init").exists(), left);
}

#[test]
fn a_cloud_init_that_fails_is_a_warning_and_is_not_waited_for() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    fs::write(lab.path("user-data"), "#cloud-config\nhostname: web1\n").unwrap();
    let broken = tool(&lab, "broken", "echo 'ModuleNotFoundError: yaml' >&2; exit 1");
    let run = add(&lab, "nas1", &broken, &[]);
    assert!(
        run.stderr.contains("did not check it: ModuleNotFoundError: yaml"),
        "{run}"
    );
    run.ok();
    let marker = lab.path("marker").to_string_lossy().into_owned();
    let stuck = tool(&lab, "stuck", &format!("sleep 314.159; echo > {marker}"));
    let run = add(&lab, "nas2", &stuck, &[]);
    assert!(run.stderr.contains("it took more than 60 seconds"), "{run}");
    run.ok();
    let running = Run::of(Command::new("pgrep").args(["-f", "sleep 314.159"]));
    assert_eq!(running.stdout, "", "the tool is left behind: {running}");
    let who = tool(&lab, "who", "id -u >&2; cat /dev/stdin >&2; exit 1");
    let run = add(&lab, "nas3", &who, &[]);
    assert!(run.stderr.contains("did not check it: hostname: web1"), "{run}");
    let who = tool(&lab, "who", "id -u >&2; exit 1");
    assert!(
        add(&lab, "nas4", &who, &[])
            .stderr
            .contains("did not check it: 65534")
    );
    let user_data = lab.path("user-data").to_string_lossy().into_owned();
    let mut command = lab.command(&["add", "nas5", "--user-data", &user_data]);
    command.env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", who.display()));
    let run = Run::of(command.env("SUDO_UID", "1234").env("SUDO_GID", "1234"));
    assert!(run.stderr.contains("did not check it: 1234"), "{run}");
}

#[test]
fn a_user_data_that_cloud_init_would_not_understand_launches_nothing_unless_it_is_forced() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    add_tiny(&lab, "tiny");
    let user_data = lab.path("user-data");
    fs::write(&user_data, BAD).unwrap();
    let file = user_data.to_string_lossy().into_owned();
    let says = [
        "line 5: users[0].ssh_authorised_keys: cloud-init has no such key; did you mean ssh_authorized_keys?",
        "line 6: packages: expected a list, found a text",
        "--force",
    ];
    let launch = [
        "launch",
        "web1",
        "--image",
        "tiny",
        "--key",
        KEY,
        "--memory",
        crate::guests::MEMORY,
    ];
    let with =
        |words: &[&str], extra: &[&str]| lab.seedbed(&[words, &["--user-data", &file], extra].concat());
    with(&launch, &[]).refused(1, &says);
    assert_eq!(lab.listing("state/vms"), [""; 0]);
    with(&["add", "nas"], &[]).refused(1, &says);
    assert_eq!(lab.seedbed(&["list", "--format", "json"]).ok().trim(), "[]");
    let forced = with(&launch, &["--force"]);
    assert!(
        forced
            .stderr
            .contains("packages: expected a list, found a text (taken by force)"),
        "{forced}"
    );
    forced.ok();
    assert!(
        lab.daemon_log().contains("taken by force"),
        "{}",
        lab.daemon_log()
    );
    with(&["set", "web1"], &[]).refused(1, &says);
    with(&["set", "web1"], &["--force"]).ok();
    // What cloud-init can not read at all is not forced.
    fs::write(&user_data, "#cloud-config\npackages: [\n").unwrap();
    with(&["add", "nas"], &["--force"]).refused(1, &["not usable as user-data"]);
}

#[test]
fn the_daemon_checks_what_another_client_sends() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    let octets = |text: &str| format!("{:?}", text.as_bytes());
    let ask = |name: &str, text: &str, force: &str| {
        let request = format!(
            "{{\"verb\":\"add\",\"names\":[\"{name}\"],\"keys\":[],\"user_data\":{}{force}}}\n",
            octets(text)
        );
        let file = lab.path("request");
        fs::write(&file, request).unwrap();
        let line = format!(
            "curl -s --max-time 20 --unix-socket {} --data-binary @{} http://seedbed/v1",
            lab.path("run/seedbed.sock").display(),
            file.display()
        );
        Run::of(Command::new("sh").args(["-c", &line])).stdout
    };
    let refused = ask("nas", BAD, "");
    assert!(
        refused.contains("line 6: packages: expected a list, found a text"),
        "{refused}"
    );
    let forced = ask("nas", BAD, ",\"force\":true");
    assert!(forced.contains("nas.lab"), "{forced}");
}
