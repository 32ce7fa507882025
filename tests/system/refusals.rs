//! Bad input: each gets a sentence that says what is wrong and what to do, and leaves nothing half-done.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use crate::lab::{Lab, Run, SEEDBED, eventually, say};
use crate::{guests, root};

const REFUSED: i32 = 1;
const NOT_FOUND: i32 = 3;

fn names(lab: &Lab) -> Vec<String> {
    let json = lab.seedbed(&["list", "--format", "json"]).ok();
    let vms: serde_json::Value = serde_json::from_str(&json).unwrap();
    vms.as_array()
        .unwrap()
        .iter()
        .map(|vm| vm["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn what_is_taken_or_no_address_is_refused_by_name() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    lab.seedbed(&["add", "db1", "--mac", "52:54:00:00:00:01", "--ip", "10.77.0.20"])
        .ok();
    let refused = |args: &[&str], says: &[&str]| lab.seedbed(args).refused(REFUSED, says);
    refused(&["add", "db1"], &["db1"]);
    refused(
        &["add", "db2", "--mac", "52:54:00:00:00:01"],
        &["52:54:00:00:00:01", "db1"],
    );
    refused(&["add", "db2", "--ip", "10.77.0.20"], &["10.77.0.20", "db1"]);
    refused(
        &["add", "db2", "--ip", "10.78.0.20"],
        &["10.78.0.20", "outside 10.77.0.0/24"],
    );
    refused(&["add", "db2", "--ip", "10.77.0.0"], &["network address"]);
    refused(&["add", "db2", "--ip", "10.77.0.255"], &["broadcast"]);
    refused(&["add", "db2", "--ip", "10.77.0.1"], &["gateway"]);
    refused(&["add", "db2", "--mac", "01:00:5e:00:00:01"], &["multicast"]);
    refused(&["add", "db[1-3]", "--ip", "10.77.0.30"], &["one VM only"]);
    for name in ["Db_2", "-db", "db.2", "127", "localhost", "dß"] {
        let run = lab.seedbed(&["add", "--", name]);
        assert!(run.code == REFUSED || run.code == 2, "{run}");
        assert!(run.stderr.contains("name"), "{run}");
    }
    lab.seedbed(&["show", "db9"]).refused(NOT_FOUND, &["db9"]);
    assert_eq!(names(&lab), ["db1"], "a refusal registered something");
}

#[test]
fn all_means_the_vms_that_seedbed_runs() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    lab.seedbed(&["add", "nas"]).ok();
    lab.seedbed(&["delete", "--all", "--force"]).ok();
    assert_eq!(names(&lab), ["nas"]);
    lab.seedbed(&["console", "nas"])
        .refused(REFUSED, &["nas", "someone else"]);
    let mac = Run::of(&mut lab.inside(&["cat", "/sys/class/net/br0/address"])).ok();
    lab.seedbed(&["add", "twin", "--mac", mac.trim()])
        .refused(REFUSED, &["br0"]);
}

#[test]
fn a_freed_address_can_be_taken_at_once() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    lab.seedbed(&["add", "old", "--mac", "52:54:00:00:00:01", "--ip", "10.77.0.20"])
        .ok();
    lab.seedbed(&["delete", "old"]).ok();
    lab.seedbed(&["add", "new", "--mac", "52:54:00:00:00:01", "--ip", "10.77.0.20"])
        .ok();
    let hosts = lab.seedbed(&["hosts"]).ok();
    assert!(hosts.contains("new.lab") && !hosts.contains("old.lab"), "{hosts}");
    let file = fs::read_to_string(lab.path("state/hosts")).unwrap();
    assert!(
        file.contains("10.77.0.20") && file.contains("new.lab") && !file.contains("old.lab"),
        "{file}"
    );
}

#[test]
fn a_launch_that_can_not_work_is_refused_before_anything_is_made() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    guests::add_tiny(&lab, "tiny");
    let user_data = lab.path("user-data");
    let launch = |extra: &[&str]| {
        let mut args = vec!["launch", "web1", "--key", guests::KEY];
        args.extend(extra);
        lab.seedbed(&args)
    };
    launch(&["--image", "nothing"]).refused(NOT_FOUND, &["nothing", "seedbed image"]);
    for (text, says) in [
        ("#cloud-config\npackages: [\n", "line"),
        ("#cloud-config\n- just\n- a list\n", "mapping"),
        ("packages: [vim]\n", "#cloud-config"),
    ] {
        fs::write(&user_data, text).unwrap();
        launch(&["--image", "tiny", "--user-data", &user_data.to_string_lossy()])
            .refused(REFUSED, &["user-data", says]);
    }
    launch(&["--image", "tiny", "--memory", "lots"]).refused(REFUSED, &["lots"]);
    launch(&["--image", "tiny", "--disk", "1M"]).refused(REFUSED, &["smaller"]);
    launch(&["--image", "tiny", "--key", "not a key"]).refused(NOT_FOUND, &["not a key"]);
    launch(&["--image", "tiny", "--swap", "1"]).refused(REFUSED, &["swap"]);
    assert_eq!(names(&lab), [""; 0]);
    assert_eq!(lab.listing("state/vms"), [""; 0]);
    assert_eq!(lab.taps(), [""; 0]);
}

#[test]
fn a_disk_that_points_elsewhere_is_refused_before_a_qemu_tool_opens_it() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    let path = |name: &str| lab.path(name).to_string_lossy().into_owned();
    let qemu_img = |args: &[&str]| Run::of(std::process::Command::new("qemu-img").args(args)).ok();
    qemu_img(&["create", "-q", "-f", "qcow2", &path("base.qcow2"), "8M"]);
    qemu_img(&[
        "create",
        "-q",
        "-f",
        "qcow2",
        "-b",
        &path("base.qcow2"),
        "-F",
        "qcow2",
        &path("backed.qcow2"),
    ]);
    qemu_img(&[
        "create",
        "-q",
        "-f",
        "qcow2",
        "-o",
        &format!("data_file={}", path("data.raw")),
        &path("external.qcow2"),
        "8M",
    ]);
    fs::write(lab.path("text.qcow2"), "hello").unwrap();
    let add = |file: &str| lab.seedbed(&["image", "add", "evil", &path(file)]);
    add("backed.qcow2").refused(REFUSED, &["backing file"]);
    add("external.qcow2").refused(REFUSED, &["external data file"]);
    add("nowhere.qcow2").refused(NOT_FOUND, &["nowhere.qcow2"]);
    add("text.qcow2").refused(REFUSED, &["text.qcow2"]);
    assert_eq!(
        lab.listing("state/images"),
        [""; 0],
        "a refused image left something"
    );
    assert!(lab.seedbed(&["image", "list", "--format", "json"]).ok().trim() == "[]");
}

#[test]
fn an_image_with_clones_stays() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    guests::add_tiny(&lab, "tiny");
    Run::of(&mut guests::launch(&lab, &["web1"])).ok();
    lab.seedbed(&["image", "delete", "tiny"])
        .refused(REFUSED, &["web1"]);
    lab.seedbed(&["delete", "web1"])
        .refused(REFUSED, &["web1", "running", "--force"]);
    lab.seedbed(&["delete", "web1", "--force"]).ok();
    lab.seedbed(&["image", "delete", "tiny"]).ok();
    assert_eq!(lab.listing("state/images"), [""; 0]);
}

#[test]
fn a_taken_port_is_named_with_its_owner() {
    if !root() {
        return;
    }
    for (port, kind) in [(53, "SOCK_DGRAM"), (67, "SOCK_DGRAM"), (80, "SOCK_STREAM")] {
        let mut lab = Lab::without_daemon();
        let script = format!(
            "import socket,time\ns=socket.socket(socket.AF_INET,socket.{kind})\ns.bind(('0.0.0.0',{port}))\n\
             {}print('bound',flush=True)\ntime.sleep(60)",
            if kind == "SOCK_STREAM" { "s.listen()\n" } else { "" }
        );
        let mut holder = lab
            .inside(&["python3", "-c", &script])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = [0; 5];
        std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut line).unwrap();
        lab.start_daemon_with(&[]);
        let code = lab.daemon_ended(Duration::from_secs(60));
        let (log, pid) = (lab.daemon_log(), holder.id().to_string());
        holder.kill().unwrap();
        holder.wait().unwrap();
        assert_ne!(code, Some(0), "{log}");
        for part in [format!("port {port}"), "python3".to_owned(), pid] {
            assert!(log.contains(&part), "port {port}: no {part:?} in:\n{log}");
        }
    }
}

#[test]
fn a_second_daemon_is_refused_and_the_first_goes_on() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    let second = lab.seedbed(&["serve"]);
    assert!(second.code != 0 && second.stderr.contains("another"), "{second}");
    lab.seedbed(&["list"]).ok();
}

#[test]
fn without_a_daemon_a_command_says_how_to_start_one() {
    if !root() {
        return;
    }
    let lab = Lab::without_daemon();
    lab.seedbed(&["list"])
        .refused(75, &["not running", "seedbed serve"]);
}

#[test]
fn without_root_a_command_says_so() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    let socket = lab.path("run/seedbed.sock");
    // The built binary lies in a directory that `nobody` may not be able to enter; a copy does not.
    let copy = lab.path("seedbed");
    fs::copy(SEEDBED, &copy).unwrap();
    let nobody = |verb: &str| {
        let mut command = std::process::Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&copy)
            .arg(verb);
        command
            .env("SEEDBED_SOCKET", &socket)
            .env("SEEDBED_CONFIG", lab.path("config.yaml"));
        Run::of(&mut command)
    };
    nobody("list").refused(77, &["root", "sudo"]);
    let serve = nobody("serve");
    assert!(serve.code != 0 && serve.stderr.contains("root"), "{serve}");
}

#[test]
fn fifty_thousand_lines_are_imported_in_seconds_or_not_at_all() {
    if !root() {
        return;
    }
    let lab = Lab::without_daemon();
    let config = lab.path("config.yaml");
    let text = fs::read_to_string(&config)
        .unwrap()
        .replace("10.77.0.1/24", "10.77.0.1/16");
    let text: Vec<_> = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("pool:"))
        .collect();
    fs::write(&config, text.join("\n")).unwrap();
    let mut lab = lab;
    lab.start_daemon();
    let roster = lab.path("roster.csv");
    let line = |n: u32| {
        format!(
            "vm{n},52:54:{:02x}:{:02x}:{:02x}:01,10.77.{}.{}\n",
            n >> 16,
            n >> 8 & 255,
            n & 255,
            n / 250 + 1,
            n % 250 + 2
        )
    };
    let mut csv = "name,mac,ip\n".to_owned();
    csv.extend((0..50_000).map(line));

    fs::write(&roster, format!("{csv}vm7,52:54:00:00:00:07,10.77.0.7\n")).unwrap();
    let import = || lab.seedbed(&["import", "--from", "csv", &roster.to_string_lossy()]);
    import().refused(REFUSED, &["nothing was registered", "vm7", "line 50002"]);
    assert_eq!(names(&lab), [""; 0]);

    fs::write(&roster, csv).unwrap();
    let mut took = Duration::ZERO;
    let done = eventually(Duration::from_secs(1), || {
        #[expect(clippy::disallowed_methods, reason = "the test measures")]
        let start = std::time::Instant::now();
        let said = import().ok();
        took = start.elapsed();
        said.contains("50000")
    });
    say(&format!("imported 50,000 VMs in {took:?} (debug build)"));
    assert!(done && took < Duration::from_secs(30), "{took:?}");
    assert!(
        lab.seedbed(&["hosts"])
            .ok()
            .lines()
            .filter(|line| line.contains(".lab"))
            .count()
            >= 50_000
    );
}
