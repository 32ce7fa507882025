//! The metadata service on a real bridge: agents that are not cloud-init, and what the wire itself must not do.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::guests::KEY;
use crate::lab::{Client, Lab, Run, eventually};
use crate::root;

const MAC: &str = "52:54:00:aa:00:41";
const IP: &str = "10.77.0.41";
const MAGIC: &str = "169.254.169.254";

/// A machine of someone else's that is registered as `web1`, with the address and the way out that DHCP would give it.
fn machine(lab: &mut Lab) -> Client {
    let user_data = lab.path("user-data");
    std::fs::write(&user_data, "#cloud-config\nfinal_message: only for web1\n").unwrap();
    let user_data = user_data.to_string_lossy().into_owned();
    lab.seedbed(&[
        "add",
        "web1",
        "--mac",
        MAC,
        "--ip",
        IP,
        "--key",
        KEY,
        "--user-data",
        &user_data,
    ])
    .ok();
    let client = lab.client(MAC);
    client.set_address(&format!("{IP}/24"));
    client
        .run(&["ip", "route", "add", "default", "via", "10.77.0.1"])
        .ok();
    client
}

fn curl(client: &Client, words: &[&str]) -> Run {
    client.run(&[&["curl", "-sS", "--max-time", "10"][..], words].concat())
}

fn get(client: &Client, path: &str) -> String {
    curl(client, &["--fail", &format!("http://{MAGIC}{path}")]).ok()
}

#[test]
fn tiny_cloud_reads_nocloud_and_gets_a_token_without_a_host() {
    if !root() {
        return;
    }
    let mut lab = Lab::new();
    let client = machine(&mut lab);
    // As its wget asks, with the two slashes that come of a seed URL that ends with one. (That of busybox-static can not
    // resolve an address at all.)
    for name in ["meta-data", "user-data", "vendor-data", "network-config"] {
        let url = format!("http://10.77.0.1/nocloud//{name}");
        let run = curl(&client, &["--fail", "--path-as-is", "-A", "Wget", &url]);
        assert_eq!(run.code, 0, "{name}: {run}");
        assert!(
            name != "meta-data" || run.stdout.contains("hostname: \"web1.lab\""),
            "{run}"
        );
    }
    let ask = format!(
        "import socket\ns = socket.create_connection(('{MAGIC}', 80), 3)\n\
         s.sendall(b'PUT /latest/api/token HTTP/1.0\\r\\nX-aws-ec2-metadata-token-ttl-seconds: 5\\r\\n\\r\\n')\n\
         print(s.makefile().read())"
    );
    let said = client.run(&["python3", "-c", &ask]).ok();
    let token = said.trim().lines().last().unwrap().trim();
    assert_eq!(token.len(), 80, "{said}");
    let header = format!("X-aws-ec2-metadata-token: {token}");
    let url = format!("http://{MAGIC}/latest/meta-data/hostname");
    assert_eq!(curl(&client, &["--fail", "-H", &header, &url]).ok(), "web1.lab");
    let forged = format!("{header}0");
    let refused = curl(
        &client,
        &["-o", "/dev/null", "-w", "%{http_code}", "-H", &forged, &url],
    );
    assert_eq!(refused.stdout, "401");
}

#[test]
fn cirros_cloudbase_init_afterburn_and_talos_find_what_they_ask_for() {
    if !root() {
        return;
    }
    let mut lab = Lab::new();
    let client = machine(&mut lab);
    // cirros: it waits for an instance-id in this form, and then walks on.
    assert!(get(&client, "/2009-04-04/instance-id").starts_with("i-"));
    for leaf in [
        "ami-launch-index",
        "instance-type",
        "local-ipv4",
        "hostname",
        "local-hostname",
        "placement/availability-zone",
    ] {
        assert!(
            !get(&client, &format!("/2009-04-04/meta-data/{leaf}")).is_empty(),
            "{leaf}"
        );
    }
    assert_eq!(get(&client, "/2009-04-04/meta-data/public-keys/"), "0=key-0\n");
    assert_eq!(
        get(&client, "/2009-04-04/meta-data/public-keys/0/openssh-key"),
        KEY
    );
    // cloudbase-init and Ignition: OpenStack's documents; and Ignition's own headers change nothing.
    let meta: serde_json::Value =
        serde_json::from_str(&get(&client, "/openstack/latest/meta_data.json")).unwrap();
    assert_eq!(
        (&meta["hostname"], &meta["public_keys"]["key-0"]),
        (&"web1.lab".into(), &KEY.into())
    );
    let url = format!("http://{MAGIC}/openstack/latest/user_data");
    let accept = "Accept: application/vnd.coreos.ignition+json;version=3.6.0, */*;q=0.1";
    assert!(
        curl(&client, &["--fail", "-H", accept, &url])
            .ok()
            .contains("only for web1")
    );
    let password = format!("http://{MAGIC}/openstack/2013-04-04/password");
    let posted = curl(
        &client,
        &["-o", "/dev/null", "-w", "%{http_code}", "-d", "x", &password],
    );
    assert_eq!(
        posted.stdout, "404",
        "which cloudbase-init takes for `not supported`"
    );
    // afterburn: the oldest version, and EC2's leaves; a key's line has exactly one `=`.
    assert!(get(&client, "/openstack/2012-08-10/meta_data.json").contains("uuid"));
    assert_eq!(
        get(&client, "/latest/meta-data/public-keys").matches('=').count(),
        1
    );
    let missing = curl(
        &client,
        &[
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            &format!("http://{MAGIC}/latest/meta-data/public-ipv4"),
        ],
    );
    assert_eq!(missing.stdout, "404");
    // Talos: NoCloud's paths without anything before them are not ours to guess; with its serial they are these.
    let order = ["meta-data", "network-config", "user-data"];
    for name in order {
        curl(&client, &["--fail", &format!("http://10.77.0.1/nocloud/{name}")]).ok();
    }
}

#[test]
fn h14_a_daemon_without_file_descriptors_recovers_when_guests_let_go() {
    if !root() {
        return;
    }
    let mut lab = Lab::without_daemon();
    lab.start_daemon_by(&["prlimit", "--nofile=256"]);
    lab.wait_for_daemon();
    let client = machine(&mut lab);
    let more: Vec<String> = (60..66).map(|last| format!("10.77.0.{last}")).collect();
    for address in &more {
        client
            .run(&["ip", "addr", "add", &format!("{address}/24"), "dev", "eth0"])
            .ok();
    }
    let hold = format!(
        "import socket, time\nheld = []\nfor source in {more:?}:\n  for _ in range(60):\n    s = socket.socket()\n    s.settimeout(3)\n    \
         s.bind((source, 0))\n    s.connect(('10.77.0.1', 80))\n    held.append(s)\ntime.sleep(3)\n"
    );
    let held = client.run(&["timeout", "60", "python3", "-c", &hold]);
    assert_eq!(held.code, 0, "{held}");
    let log = lab.daemon_log();
    assert!(log.contains("can not accept metadata connections"), "{log}");
    // It waited instead of spinning: a line for each tenth of a second at most.
    assert!(
        log.matches("can not accept").count() < 200,
        "{}",
        log.matches("can not accept").count()
    );
    let served = eventually(Duration::from_secs(20), || {
        curl(&client, &["--fail", "http://10.77.0.1/nocloud/meta-data"])
            .stdout
            .contains("web1.lab")
    });
    assert!(served, "{}", lab.daemon_log());
}

#[test]
fn h21_the_host_itself_and_unknown_machines_are_told_nothing() {
    if !root() {
        return;
    }
    let mut lab = Lab::new();
    let _web1 = machine(&mut lab);
    let stranger = lab.client("52:54:00:aa:00:42");
    stranger.set_address("10.77.0.99/24");
    let url = "http://10.77.0.1/nocloud/user-data";
    let asked = ["curl", "-sS", "--max-time", "10", "-w", "%{http_code}", url];
    for said in [stranger.run(&asked), Run::of(&mut lab.inside(&asked))] {
        assert!(
            said.stdout.ends_with("404") && !said.stdout.contains("only for web1"),
            "{said}"
        );
    }
}

/// Watches answers on the client's own wire, and prints the time to live of each packet from the service.
const TTLS: &str = r"
import socket, threading, urllib.request
s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
s.bind(('eth0', 0x0800))
s.settimeout(5)
t = threading.Thread(target=lambda: urllib.request.urlopen('http://10.77.0.1/nocloud/user-data').read())
t.start()
seen = set()
while t.is_alive() or not seen:
    p = s.recv(2048)
    if p[9] == 6 and p[12:16] == bytes([10, 77, 0, 1]):
        seen.add(p[8])
    t.join(0.01)
print(sorted(seen))
";

#[test]
fn h22_answers_die_at_the_first_hop_behind_a_guest() {
    if !root() {
        return;
    }
    let mut lab = Lab::new();
    let client = machine(&mut lab);
    let ttls = client.run(&["timeout", "20", "python3", "-c", TTLS]).ok();
    assert_eq!(ttls.trim(), "[1]");
    // A container behind the guest, with the guest's address on its packets.
    let inner = format!("{}-in", lab.namespace());
    let ip = |words: &[&str]| Run::of(Command::new("ip").args(words)).ok();
    ip(&["netns", "add", &inner]);
    client
        .run(&[
            "ip", "link", "add", "veth0", "type", "veth", "peer", "name", "eth0", "netns", &inner,
        ])
        .ok();
    for words in [
        &["ip", "addr", "add", "192.168.9.1/24", "dev", "veth0"][..],
        &["ip", "link", "set", "veth0", "up"],
        &["sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"],
        &[
            "nft",
            "add table ip nat; add chain ip nat post { type nat hook postrouting priority 100; }; add rule ip nat post masquerade",
        ],
    ] {
        client.run(words).ok();
    }
    ip(&["-n", &inner, "addr", "add", "192.168.9.2/24", "dev", "eth0"]);
    ip(&["-n", &inner, "link", "set", "eth0", "up"]);
    ip(&["-n", &inner, "route", "add", "default", "via", "192.168.9.1"]);
    let asked = [
        "netns",
        "exec",
        &inner,
        "curl",
        "-sS",
        "--max-time",
        "4",
        "http://10.77.0.1/nocloud/user-data",
    ];
    let run = Run::of(Command::new("ip").args(asked));
    ip(&["netns", "del", &inner]);
    assert_eq!((run.code, run.stdout.as_str()), (28, ""), "{run}");
}

#[test]
fn h23_a_guest_never_reaches_the_hosts_own_cloud_metadata() {
    if !root() {
        return;
    }
    let mut lab = Lab::new();
    let client = machine(&mut lab);
    // The cloud that the host is a VM of: the same address, behind the host's uplink.
    let cloud = format!("{}-cloud", lab.namespace());
    let ip = |words: &[&str]| Run::of(Command::new("ip").args(words)).ok();
    ip(&["netns", "add", &cloud]);
    ip(&[
        "-n",
        lab.namespace(),
        "link",
        "add",
        "uplink",
        "type",
        "veth",
        "peer",
        "name",
        "eth0",
        "netns",
        &cloud,
    ]);
    ip(&[
        "-n",
        lab.namespace(),
        "addr",
        "add",
        "192.0.2.1/24",
        "dev",
        "uplink",
    ]);
    ip(&["-n", lab.namespace(), "link", "set", "uplink", "up"]);
    for address in ["192.0.2.9/24", "169.254.169.254/32", "169.254.169.253/32"] {
        ip(&["-n", &cloud, "addr", "add", address, "dev", "eth0"]);
    }
    for name in ["lo", "eth0"] {
        ip(&["-n", &cloud, "link", "set", name, "up"]);
    }
    ip(&[
        "-n",
        lab.namespace(),
        "route",
        "add",
        "169.254.0.0/16",
        "via",
        "192.0.2.9",
    ]);
    let folder = lab.path("cloud");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("secret"), "the host's own\n").unwrap();
    let mut server = Command::new("ip")
        .args([
            "netns",
            "exec",
            &cloud,
            "python3",
            "-m",
            "http.server",
            "80",
            "--directory",
        ])
        .arg(&folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let secret = format!("http://{MAGIC}/secret");
    let own = ["curl", "-sS", "--max-time", "5", "--fail", &secret];
    // The host's agents still find theirs.
    let found = eventually(Duration::from_secs(10), || {
        Run::of(&mut lab.inside(&own)).stdout == "the host's own\n"
    });
    let asked = curl(&client, &["-w", "%{http_code}", &secret]);
    let others: Vec<Run> = [
        "http://169.254.169.253/secret",
        "http://169.254.169.254:8080/secret",
    ]
    .map(|url| client.run(&["curl", "-sS", "--max-time", "3", url]))
    .into_iter()
    .collect();
    let ours = get(&client, "/latest/meta-data/hostname");
    server.kill().ok();
    server.wait().ok();
    ip(&["netns", "del", &cloud]);
    assert!(found, "the host does not reach its own cloud");
    assert!(
        asked.stdout.ends_with("404") && !asked.stdout.contains("host's own"),
        "{asked}"
    );
    assert!(
        others.iter().all(|run| run.code != 0 && run.stdout.is_empty()),
        "{}",
        others[0]
    );
    assert_eq!(ours, "web1.lab");
}
