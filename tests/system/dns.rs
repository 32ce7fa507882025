//! DNS as others see it: dig, kdig and named-checkzone ask and judge, dnsmasq is the upstream server.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::lab::{Client, Lab, Run, Running, eventually};
use crate::root;

const PRINTER: &str = "52:54:00:aa:00:01";
const SCANNER: &str = "52:54:00:aa:00:02";

/// A lab whose network has these keys under `dns`, with two registered machines.
fn lab_with(dns: &str) -> Lab {
    let mut lab = Lab::without_daemon();
    let config = lab.path("config.yaml");
    let text = fs::read_to_string(&config).unwrap();
    let with_dns = text.replacen("  domain: lab\n", &format!("  domain: lab\n  dns: {dns}\n"), 1);
    assert_ne!(
        text, with_dns,
        "the configuration has no line for the domain:\n{text}"
    );
    fs::write(&config, with_dns).unwrap();
    lab.start_daemon();
    lab.seedbed(&[
        "add",
        "printer",
        "--mac",
        PRINTER,
        "--ip",
        "10.77.0.50",
        "--alias",
        "lp",
    ])
    .ok();
    lab.seedbed(&["add", "scanner", "--mac", SCANNER, "--ip", "10.77.0.51"])
        .ok();
    lab
}

/// dig on the host itself, one try of at most three seconds.
fn dig(lab: &Lab, words: &[&str]) -> String {
    let all = [&["dig", "@10.77.0.1", "+tries=1", "+time=3"], words].concat();
    Run::of(&mut lab.inside(&all)).ok()
}

#[expect(clippy::disallowed_methods, reason = "the tests measure")]
fn now() -> Instant {
    Instant::now()
}

fn has(text: &str, part: &str) {
    assert!(text.contains(part), "no {part:?} in:\n{text}");
}

/// dnsmasq on 127.0.0.1:5353, which knows a few names and asks nobody else but whom `options` name.
fn dnsmasq(lab: &Lab, options: &[&str]) -> Running {
    let long = format!(
        "--txt-record=long.example,{}",
        vec!["x".repeat(200); 10].join(",")
    );
    let fixed = [
        "dnsmasq",
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--port=5353",
        "--listen-address=127.0.0.1",
        "--bind-interfaces",
        "--no-resolv",
        "--local-ttl=60",
        "--no-hosts",
        "--user=root",
        "--pid-file=",
        "--edns-packet-max=4096",
        "--host-record=public.example,192.0.2.7",
        "--host-record=private.example,10.9.9.9",
        "--host-record=inside.example,10.77.0.50",
        "--host-record=loopback.example,127.0.0.1",
        "--cname=alias.example,public.example",
        &long,
    ];
    let mut command = lab.inside(&[&fixed, options].concat());
    let server = Running::start(&mut command);
    let ask = [
        "dig",
        "@127.0.0.1",
        "-p",
        "5353",
        "+short",
        "+tries=1",
        "+time=1",
        "public.example",
    ];
    let up = eventually(Duration::from_secs(60), || {
        Run::of(&mut lab.inside(&ask)).stdout == "192.0.2.7\n"
    });
    assert!(up, "dnsmasq did not start");
    server
}

/// What a client of the network asks with dig.
fn client_dig(client: &Client, words: &[&str]) -> String {
    client
        .run(&[&["dig", "@10.77.0.1", "+tries=1", "+time=3"], words].concat())
        .ok()
}

/// The generated file of a zone.
fn exported(lab: &Lab, zone: &str) -> String {
    let what = if zone == "lab" { "zone" } else { "reverse-zone" };
    lab.seedbed(&["export", what]).ok()
}

/// A zone's records, each written out in full on a line of its own, in order.
fn canonical(lab: &Lab, zone: &str, text: &str) -> Vec<String> {
    let file = lab.path(&format!("{zone}.canonical"));
    fs::write(&file, text).unwrap();
    let file = file.to_string_lossy();
    let text =
        Run::of(&mut lab.inside(&["named-compilezone", "-q", "-s", "full", "-o", "-", zone, &file])).ok();
    let mut lines: Vec<_> = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    lines.sort();
    lines.dedup();
    lines
}

#[test]
fn n18_a_zone_is_exported_by_dig_and_accepted_by_named_checkzone() {
    if !root() {
        return;
    }
    let mut lab = lab_with("{ transfer: [10.77.0.50] }");
    for (zone, records) in [
        ("lab", ["printer.lab.", "lp.lab."]),
        (
            "0.77.10.in-addr.arpa",
            ["50.0.77.10.in-addr.arpa.", "51.0.77.10.in-addr.arpa."],
        ),
    ] {
        let text = dig(&lab, &["axfr", zone, "+nocomments", "+nocmd", "+nostats"]);
        for record in records {
            has(&text, record);
        }
        let file = lab.path(zone);
        fs::write(&file, &text).unwrap();
        let checked = Run::of(&mut lab.inside(&["named-checkzone", zone, &file.to_string_lossy()])).ok();
        has(&checked, "OK");
        // What is transferred is what is exported, read by somebody else's eyes.
        let exported = exported(&lab, zone);
        let (transferred, exported) = (canonical(&lab, zone, &text), canonical(&lab, zone, &exported));
        assert_eq!(transferred, exported);
        assert!(transferred.len() > 4, "{transferred:?}");
    }
    has(&dig(&lab, &["ixfr=0", "lab"]), "printer.lab.");

    let listed = lab.client(PRINTER);
    listed.set_address("10.77.0.50/24");
    has(&client_dig(&listed, &["axfr", "lab"]), "scanner.lab.");
    let other = lab.client(SCANNER);
    other.set_address("10.77.0.51/24");
    for words in [
        ["axfr", "lab"],
        ["ixfr=1", "lab"],
        ["axfr", "0.77.10.in-addr.arpa"],
    ] {
        has(&client_dig(&other, &words), "Transfer failed");
    }
    for opcode in ["notify", "update"] {
        has(
            &client_dig(&other, &["lab", "soa", &format!("+opcode={opcode}")]),
            "REFUSED",
        );
    }
}

#[test]
fn foreign_clients_agree_on_aliases_edns_letter_case_and_streams() {
    if !root() {
        return;
    }
    let mut lab = lab_with("{}");
    let client = lab.client(PRINTER);
    client.set_address("10.77.0.50/24");
    assert_eq!(
        client_dig(&client, &["lp.lab", "+short"]),
        "printer.lab.\n10.77.0.50\n"
    );
    let answer = client_dig(&client, &["PriNTer.LAB", "+bufsize=4096"]);
    has(&answer, "PriNTer.LAB.\t\t5\tIN\tA\t10.77.0.50");
    has(&answer, "udp: 1232");
    has(&client_dig(&client, &["printer.lab", "any", "+notcp"]), "RFC8482");
    has(
        &client_dig(&client, &["printer.lab", "+edns=1", "+noednsneg"]),
        "BADVERS",
    );
    let streams = client
        .run(&[
            "kdig",
            "@10.77.0.1",
            "+tcp",
            "+keepopen",
            "+short",
            "printer.lab",
            "scanner.lab",
            "-x",
            "10.77.0.51",
        ])
        .ok();
    assert_eq!(streams, "10.77.0.50\n10.77.0.51\nscanner.lab.\n");
}

/// Sends questions for names that nobody has, 500 a second; prints how many were answered whole, and how many cut off.
const FLOOD: &str = r#"
import os, select, socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(("10.77.0.1", 53))
s.setblocking(False)
whole = cut = 0
start = time.monotonic()
def take():
    global whole, cut
    while True:
        try:
            reply = s.recv(2048)
        except BlockingIOError:
            return
        if reply[2] & 2: cut += 1
        else: whole += 1
for n in range(2000):
    label = os.urandom(8).hex().encode()
    s.send(bytes([n >> 8, n & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, len(label)]) + label + b"\x03lab\0\0\1\0\1")
    take()
    time.sleep(max(0, start + n / 500 - time.monotonic()))
time.sleep(0.5)
take()
print(whole, cut, time.monotonic() - start)
"#;

#[test]
fn n06_a_flood_of_invented_names_is_limited_and_others_notice_nothing() {
    if !root() {
        return;
    }
    let mut lab = lab_with("{}");
    let (flooding, other) = (lab.client(PRINTER), lab.client(SCANNER));
    flooding.set_address("10.77.0.50/24");
    other.set_address("10.77.0.51/24");
    let mut flood = flooding.command(&["python3", "-c", FLOOD]);
    let flood = flood.stdout(Stdio::piped()).spawn().unwrap();
    let started = now();
    let mut asked = 0;
    while started.elapsed() < Duration::from_secs(3) {
        assert_eq!(client_dig(&other, &["printer.lab", "+short"]), "10.77.0.50\n");
        has(&client_dig(&other, &["nobody.lab"]), "NXDOMAIN");
        asked += 1;
    }
    assert!(asked > 3);
    let output = flood.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let numbers: Vec<f64> = text
        .split_whitespace()
        .map(|word| word.parse().unwrap())
        .collect();
    let [whole, cut, seconds] = numbers[..] else {
        panic!("{text}")
    };
    assert!(whole <= 400.0 + 200.0 * (seconds + 0.5), "{text}");
    assert!(whole >= 400.0 && cut >= 100.0, "{text}");
    // Who was cut off goes on by TCP.
    has(&client_dig(&flooding, &["nobody.lab", "+tcp"]), "NXDOMAIN");
}

#[test]
fn n10_to_n14_a_real_upstream_server_is_asked_screened_and_survived() {
    if !root() {
        return;
    }
    let lab = lab_with("{ upstreams: [127.0.0.1:5353] }");
    let upstream = dnsmasq(&lab, &[]);
    assert_eq!(dig(&lab, &["public.example", "+short"]), "192.0.2.7\n");
    assert_eq!(
        dig(&lab, &["alias.example", "+short"]),
        "public.example.\n192.0.2.7\n"
    );
    // More than a datagram holds: cut off on both ways, and whole by TCP.
    let long = dig(&lab, &["long.example", "txt", "+bufsize=4096"]);
    has(&long, "Truncated, retrying in TCP mode");
    assert_eq!(long.matches(&"x".repeat(200)).count(), 10, "{long}");
    for private in ["private.example", "inside.example", "loopback.example"] {
        let answer = dig(&lab, &[private]);
        has(&answer, "status: NOERROR");
        has(&answer, "ANSWER: 0");
    }
    // It is gone: what it said is still known, what it did not fails in time, and our own names do not mind.
    drop(upstream);
    assert_eq!(dig(&lab, &["public.example", "+short"]), "192.0.2.7\n");
    let started = now();
    has(&dig(&lab, &["other.example"]), "SERVFAIL");
    assert!(
        started.elapsed() < Duration::from_millis(2_500),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(dig(&lab, &["printer.lab", "+short"]), "10.77.0.50\n");
}

#[test]
fn n14_private_answers_pass_where_the_network_wishes_them() {
    if !root() {
        return;
    }
    let lab = lab_with("{ upstreams: [127.0.0.1:5353], private_answers: true }");
    let _upstream = dnsmasq(&lab, &[]);
    assert_eq!(dig(&lab, &["private.example", "+short"]), "10.9.9.9\n");
    assert_eq!(
        dig(&lab, &["loopback.example", "+short"]),
        "",
        "this host's own addresses never do"
    );
}

#[test]
fn n16_a_new_name_takes_the_place_of_an_old_one_at_once_both_ways() {
    if !root() {
        return;
    }
    let lab = lab_with("{}");
    assert_eq!(dig(&lab, &["-x", "10.77.0.51", "+short"]), "scanner.lab.\n");
    lab.seedbed(&["delete", "scanner"]).ok();
    has(&dig(&lab, &["scanner.lab"]), "NXDOMAIN");
    has(&dig(&lab, &["-x", "10.77.0.51"]), "NXDOMAIN");
    lab.seedbed(&["add", "copier", "--mac", SCANNER, "--ip", "10.77.0.51"])
        .ok();
    assert_eq!(dig(&lab, &["copier.lab", "+short"]), "10.77.0.51\n");
    assert_eq!(dig(&lab, &["-x", "10.77.0.51", "+short"]), "copier.lab.\n");
}

#[test]
fn n20_our_own_address_is_refused_as_upstream_and_a_forwarder_that_asks_us_is_left_out() {
    if !root() {
        return;
    }
    let lab = lab_with("{ upstreams: [127.0.0.1:5353] }");
    let _forwarder = dnsmasq(&lab, &["--server=10.77.0.1"]);
    has(&dig(&lab, &["www.example.com"]), "SERVFAIL");
    has(&lab.daemon_log(), "asks us what we ask it");
    let started = now();
    has(&dig(&lab, &["www.example.org"]), "SERVFAIL");
    assert!(
        started.elapsed() < Duration::from_secs(1),
        "it is not asked again"
    );

    let mut ours = Lab::without_daemon();
    let config = ours.path("config.yaml");
    let text = fs::read_to_string(&config).unwrap();
    let dns = "  domain: lab\n  dns: { upstreams: [10.77.0.1] }\n";
    fs::write(&config, text.replacen("  domain: lab\n", dns, 1)).unwrap();
    ours.start_daemon_with(&[]);
    assert_eq!(
        ours.daemon_ended(Duration::from_secs(60)),
        Some(1),
        "{}",
        ours.daemon_log()
    );
    has(&ours.daemon_log(), "seedbed would ask itself");
}
