//! Clients that are not ours (udhcpc, dhclient, dig, curl) get what the registry says, and nothing else.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::lab::{Client, Lab};
use crate::root;

const PRINTER: &str = "52:54:00:aa:00:01";
const SCANNER: &str = "52:54:00:aa:00:02";

/// A lab with two registered external machines.
fn lab() -> Lab {
    let lab = Lab::new();
    lab.seedbed(&["add", "printer", "--mac", PRINTER, "--ip", "10.77.0.50"])
        .ok();
    lab.seedbed(&["add", "scanner", "--mac", SCANNER, "--ip", "10.77.0.51"])
        .ok();
    lab
}

/// A DHCP client's hook that prints its environment.
fn hook(lab: &Lab) -> String {
    let path = lab.path("hook.sh");
    fs::write(&path, "#!/bin/sh\necho \"reason=${reason:-$1}\"\nenv\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_string_lossy().into_owned()
}

fn has(text: &str, line: &str) {
    assert!(
        text.lines().any(|have| have == line),
        "no line `{line}` in:\n{text}"
    );
}

fn dig(client: &Client, words: &[&str]) -> String {
    let mut all = vec!["dig", "@10.77.0.1", "+tries=1", "+time=3"];
    all.extend(words);
    client.run(&all).ok()
}

#[test]
fn udhcpc_gets_what_the_registry_says() {
    if !root() {
        return;
    }
    let mut lab = lab();
    let hook = hook(&lab);
    let client = lab.client(PRINTER);
    let env = client
        .run(&[
            "udhcpc", "-n", "-q", "-f", "-t", "5", "-T", "1", "-i", "eth0", "-O", "search", "-s", &hook,
        ])
        .ok();
    for line in [
        "ip=10.77.0.50",
        "subnet=255.255.255.0",
        "router=10.77.0.1",
        "dns=10.77.0.1",
        "domain=lab",
        "hostname=printer",
        "serverid=10.77.0.1",
        "search=lab",
        "lease=43200",
    ] {
        has(&env, line);
    }
}

#[test]
fn options_of_the_network_are_sent_to_who_asks_for_them() {
    if !root() {
        return;
    }
    let mut lab = Lab::without_daemon();
    let config = lab.path("config.yaml");
    let options = "  ntp: [10.77.0.1, 192.0.2.123]\n  mtu: 1450\n  routes:\n  - to: 192.168.0.0/16\n    via: 10.77.0.9\n";
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}{options}")).unwrap();
    lab.start_daemon();
    lab.seedbed(&["add", "printer", "--mac", PRINTER, "--ip", "10.77.0.50"])
        .ok();
    let hook = hook(&lab);
    let client = lab.client(PRINTER);
    let asked = ["-O", "mtu", "-O", "ntpsrv", "-O", "staticroutes", "-O", "search"];
    let mut udhcpc = client.command(&[
        "udhcpc", "-n", "-q", "-f", "-t", "5", "-T", "1", "-i", "eth0", "-s", &hook,
    ]);
    let env = crate::lab::Run::of(udhcpc.args(asked)).ok();
    for line in [
        "mtu=1450",
        "ntpsrv=10.77.0.1 192.0.2.123",
        // RFC 3442: who understands option 121 ignores option 3, so the default route is in it too.
        "staticroutes=192.168.0.0/16 10.77.0.9 0.0.0.0/0 10.77.0.1",
    ] {
        has(&env, line);
    }
}

#[test]
fn dhclient_gets_what_the_registry_says_and_gets_it_again() {
    if !root() {
        return;
    }
    let mut lab = lab();
    let (hook, lease) = (
        hook(&lab),
        lab.path("dhclient.leases").to_string_lossy().into_owned(),
    );
    let client = lab.client(SCANNER);
    let pid = lab.path("dhclient.pid").to_string_lossy().into_owned();
    let dhclient = [
        "dhclient", "-4", "-1", "-d", "-lf", &lease, "-pf", &pid, "-sf", &hook, "eth0",
    ];
    // The first run discovers; the second finds its lease file and reboots into it (RFC 2131 §4.3.2, INIT-REBOOT).
    for expected in ["reason=BOUND", "reason=REBOOT"] {
        let mut command = client.command(&["timeout", "8"]);
        let run = crate::lab::Run::of(command.args(dhclient));
        let env = run.stdout;
        for line in [
            expected,
            "new_ip_address=10.77.0.51",
            "new_host_name=scanner",
            "new_routers=10.77.0.1",
            "new_domain_name=lab",
            "new_dhcp_server_identifier=10.77.0.1",
        ] {
            has(&env, line);
        }
    }
}

#[test]
fn an_unregistered_machine_gets_silence() {
    if !root() {
        return;
    }
    let mut lab = lab();
    let hook = hook(&lab);
    let stranger = lab.client("52:54:00:ff:00:99");
    let run = stranger.run(&[
        "udhcpc", "-n", "-q", "-f", "-t", "2", "-T", "1", "-i", "eth0", "-s", &hook,
    ]);
    assert!(run.code != 0 && !run.stdout.contains("ip=10.77"), "{run}");
}

#[test]
fn dig_gets_names_and_addresses_from_the_registry_over_udp_and_tcp() {
    if !root() {
        return;
    }
    let mut lab = lab();
    let client = lab.client(PRINTER);
    client.set_address("10.77.0.50/24");
    for transport in ["+notcp", "+tcp"] {
        assert_eq!(
            dig(&client, &[transport, "+short", "scanner.lab", "A"]).trim(),
            "10.77.0.51"
        );
        assert_eq!(
            dig(&client, &[transport, "+short", "-x", "10.77.0.51"]).trim(),
            "scanner.lab."
        );
    }
    assert!(dig(&client, &["nobody.lab", "A"]).contains("status: NXDOMAIN"));
    assert!(
        dig(&client, &["ScAnNeR.LaB", "A"]).contains("ScAnNeR.LaB."),
        "the question's case is kept"
    );
    assert!(
        dig(&client, &["scanner.lab", "AAAA"]).contains("status: NOERROR, "),
        "no data is not no name"
    );
    assert!(dig(&client, &["lab", "SOA", "+short"]).contains("lab."));

    lab.seedbed(&["delete", "scanner"]).ok();
    assert!(
        dig(&client, &["scanner.lab", "A"]).contains("status: NXDOMAIN"),
        "a deleted VM's name is gone at once"
    );
}

#[test]
fn curl_gets_its_own_documents_and_nobody_elses() {
    if !root() {
        return;
    }
    let mut lab = lab();
    let printer = lab.client(PRINTER);
    printer.set_address("10.77.0.50/24");
    let get = |client: &Client, path: &str| {
        client
            .run(&[
                "curl",
                "-sS",
                "--max-time",
                "5",
                "-w",
                "\n%{http_code}",
                &format!("http://10.77.0.1{path}"),
            ])
            .ok()
    };
    let meta_data = get(&printer, "/nocloud/meta-data");
    assert!(
        meta_data.contains("\"printer.lab\"") && meta_data.ends_with("200"),
        "{meta_data}"
    );
    for document in ["user-data", "vendor-data", "network-config"] {
        assert!(
            get(&printer, &format!("/nocloud/{document}")).ends_with("200"),
            "{document} is always there"
        );
    }
    assert!(
        get(&printer, "//nocloud//meta-data").contains("printer.lab"),
        "old clients double the slash"
    );

    // A machine that takes the printer's address, but has another card, is nobody.
    let thief = lab.client("52:54:00:ff:00:99");
    printer.unplug();
    thief.set_address("10.77.0.50/24");
    let stolen = get(&thief, "/nocloud/meta-data");
    assert!(
        !stolen.contains("printer") && !stolen.ends_with("200"),
        "{stolen}"
    );
    // And so is a stranger with an address of its own.
    thief.set_address("10.77.0.99/24");
    assert!(!get(&thief, "/nocloud/user-data").ends_with("200"));
}

#[test]
fn any_bytes_on_the_guest_sockets_leave_the_daemon_answering() {
    if !root() {
        return;
    }
    let mut lab = lab();
    let client = lab.client(PRINTER);
    client.set_address("10.77.0.50/24");
    let script = lab.path("noise.py");
    fs::write(&script, NOISE).unwrap();
    client.run(&["python3", &script.to_string_lossy()]).ok();
    assert_eq!(dig(&client, &["+short", "scanner.lab", "A"]).trim(), "10.77.0.51");
    let meta_data = client
        .run(&[
            "curl",
            "-sS",
            "--max-time",
            "5",
            "http://10.77.0.1/nocloud/meta-data",
        ])
        .ok();
    assert!(meta_data.contains("printer.lab"));
    let hook = hook(&lab);
    let env = client
        .run(&[
            "udhcpc", "-n", "-q", "-f", "-t", "5", "-T", "1", "-i", "eth0", "-s", &hook,
        ])
        .ok();
    has(&env, "ip=10.77.0.50");
    lab.seedbed(&["list"]).ok();
}

/// Random and nearly right bytes at DHCP, DNS (UDP and TCP) and HTTP; bounded, and the same at every run.
const NOISE: &str = r#"
import random, socket, struct
random.seed(77)
gateway = "10.77.0.1"
def dhcp():
    mac = bytes.fromhex("525400aa0001") + bytes(10)
    head = struct.pack("!BBBBIHH4s4s4s4s", 1, 1, 6, 0, 7, 0, 0, *[bytes(4)] * 4) + mac + bytes(192)
    packet = bytearray(head + b"\x63\x82\x53\x63" + b"\x35\x01\x01\x37\x04\x01\x03\x06\x0f\x51\x05abcde\x35\xff")
    return packet
def dns():
    return bytearray(struct.pack("!HHHHHH", 7, 0x100, 1, 0, 0, 0) + b"\x07scanner\x03lab\x00\x00\x01\x00\x01")
def broken(packet):
    for _ in range(random.randrange(6)):
        packet[random.randrange(len(packet))] = random.randrange(256)
    return bytes(packet[:random.randrange(len(packet) + 1)]) if random.random() < 0.3 else bytes(packet)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
hlen = dhcp(); hlen[2] = 200
udp.sendto(bytes(hlen), (gateway, 67))
for _ in range(3000):
    noise = bytes(random.randrange(256) for _ in range(random.randrange(600)))
    udp.sendto(noise, (gateway, 67)); udp.sendto(noise, (gateway, 53))
    udp.sendto(broken(dhcp()), (gateway, 67)); udp.sendto(broken(dns()), (gateway, 53))
for round in range(120):
    for port in (53, 80):
        with socket.create_connection((gateway, port), timeout=5) as tcp:
            start = b"GET /nocloud/" if port == 80 and round % 2 else b""
            try: tcp.sendall(start + bytes(random.randrange(256) for _ in range(random.randrange(2000))))
            except OSError: pass
"#;
