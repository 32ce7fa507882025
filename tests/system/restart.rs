//! The metadata service over a restart of the daemon: guests that ask meanwhile wait, and none is refused.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use seedbed::console::frame::{Attach, FromViewer, VERSION};

use crate::cloud_init::machine;
use crate::lab::{Client, Lab, Run, eventually};
use crate::{guests, root};

const MANAGER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/system/service_manager.py");
const SOON: Duration = Duration::from_secs(60);

/// A lab whose daemon is the service of a manager that keeps its sockets.
fn managed(lab: &mut Lab) {
    let socket = lab.path("notify").to_string_lossy().into_owned();
    lab.start_daemon_by(&["/usr/bin/python3", MANAGER, &socket]);
    lab.wait_for_daemon();
}

fn signal(lab: &Lab, name: &str) {
    let pid = lab.daemon_pid().to_string();
    Run::of(Command::new("kill").args([name, &pid])).ok();
}

fn said(lab: &Lab, what: &str) -> usize {
    lab.daemon_log().lines().filter(|line| *line == what).count()
}

/// One request, as cloud-init makes it: no second try, and no limit but the test's own.
fn ask(client: &Client) -> Run {
    client.run(&[
        "curl",
        "-sS",
        "--max-time",
        "30",
        "http://10.77.0.1/nocloud/meta-data",
    ])
}

#[test]
fn guests_that_ask_while_the_daemon_restarts_are_answered_by_the_next_one() {
    if !root() {
        return;
    }
    let mut lab = Lab::without_daemon();
    managed(&mut lab);
    let (client, _) = machine(&mut lab);
    assert!(ask(&client).ok().contains("instance-id"));
    assert_eq!(said(&lab, "kept metadata-10.77.0.1"), 1, "{}", lab.daemon_log());
    for restart in 1..=2 {
        signal(&lab, "-HUP");
        assert!(
            eventually(SOON, || said(&lab, "stopped 0") == restart),
            "{}",
            lab.daemon_log()
        );
        // Nobody is there now, and each of these is answered although it was asked then.
        let asked: Vec<_> = (0..4)
            .map(|_| {
                let mut curl = client.command(&[
                    "curl",
                    "-sS",
                    "--max-time",
                    "30",
                    "http://10.77.0.1/nocloud/meta-data",
                ]);
                curl.stdout(std::process::Stdio::piped());
                curl.spawn().unwrap()
            })
            .collect();
        assert_eq!(
            said(&lab, "started"),
            restart - 1,
            "they were asked while no daemon ran"
        );
        for curl in asked {
            let output = curl.wait_with_output().unwrap();
            assert!(output.status.success(), "{output:?}");
            assert!(String::from_utf8_lossy(&output.stdout).contains("instance-id"));
        }
        lab.wait_for_daemon();
    }
    assert_eq!(
        said(&lab, "kept metadata-10.77.0.1"),
        1,
        "it is taken over, not bound anew"
    );
}

fn shown(lab: &Lab) -> serde_json::Value {
    let json = lab.seedbed(&["show", "web1", "--format", "json"]).ok();
    serde_json::from_str::<serde_json::Value>(&json).unwrap()[0].clone()
}

/// What a viewer sends who types a line at a console, and looks at nothing.
fn keys(line: &str) -> Vec<u8> {
    let mut sent = Vec::new();
    let attach = Attach {
        version: VERSION,
        read_only: false,
        past: false,
        size: None,
    };
    FromViewer::Attach(attach).encode(&mut sent);
    FromViewer::Keys(line.as_bytes().to_vec()).encode(&mut sent);
    sent
}

#[test]
fn a_phone_home_that_is_sent_while_no_daemon_runs_is_kept_by_the_next_one() {
    if !root() {
        return;
    }
    let mut lab = Lab::without_daemon();
    managed(&mut lab);
    guests::add_tiny(&lab, "tiny");
    Run::of(&mut guests::launch(&lab, &["web1", "--wait=120"])).ok();
    // It has told no keys yet: it has none.
    let before = shown(&lab);
    assert_eq!(before["host_keys"], serde_json::json!([]));
    signal(&lab, "-HUP");
    assert!(
        eventually(SOON, || said(&lab, "stopped 0") == 1),
        "{}",
        lab.daemon_log()
    );
    let key = guests::KEY.rsplit_once(' ').unwrap().0;
    let form = format!(
        "pub_key_ed25519={}",
        key.replace(' ', "%20").replace('+', "%2B").replace('/', "%2F")
    );
    let line = format!("\nbusybox wget -q -O /dev/null --post-data '{form}' http://10.77.0.1/phone-home &\n");
    let mut console = UnixStream::connect(before["serial"].as_str().unwrap()).unwrap();
    console.write_all(&keys(&line)).unwrap();
    lab.wait_for_daemon();
    let kept = eventually(SOON, || shown(&lab)["host_keys"] == serde_json::json!([key]));
    drop(console);
    let typed = lab.seedbed(&["log", "web1"]).stdout;
    assert!(kept, "{}\n{typed}", shown(&lab));
    lab.seedbed(&["delete", "web1", "--force"]).ok();
    lab.stop_daemon();
}

#[test]
fn a_socket_of_a_bridge_that_was_made_anew_is_given_up_and_bound_anew() {
    if !root() {
        return;
    }
    let mut lab = Lab::without_daemon();
    managed(&mut lab);
    signal(&lab, "-HUP");
    assert!(eventually(SOON, || said(&lab, "stopped 0") == 1));
    Run::of(&mut lab.inside(&["ip", "link", "del", "br0"])).ok();
    assert!(
        eventually(SOON, || said(&lab, "kept metadata-10.77.0.1") == 2),
        "{}",
        lab.daemon_log()
    );
    lab.wait_for_daemon();
    assert_eq!(said(&lab, "closed metadata-10.77.0.1"), 1);
    let (client, _) = machine(&mut lab);
    assert!(ask(&client).ok().contains("instance-id"));
    lab.stop_daemon();
}
