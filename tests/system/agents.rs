//! Agents that are not cloud-init, by the requests they send in the order they send them (guest-contract §4), and where they
//! send them to: 169.254.169.254, which on the host may be somebody else.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::cloud_init::{MAC, SUITES, USER_DATA, code, machine};
use crate::guests::{KEY, cache};
use crate::lab::{Client, Lab, Run, eventually, say};
use crate::nat::World;
use crate::root;

const CLOUDS: &str = "http://169.254.169.254";
const SOON: Duration = Duration::from_secs(60);

/// The status and the body that curl gets.
fn ask(client: &Client, words: &[&str], url: &str) -> (u16, String) {
    let curl = ["curl", "-s", "--max-time", "10", "-w", "\n%{http_code}", url];
    let text = client.run(&[&curl, words].concat()).ok();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

/// What is there, at a path of the address that every agent knows.
fn read(client: &Client, path: &str) -> String {
    let (status, body) = ask(client, &[], &format!("{CLOUDS}{path}"));
    assert_eq!(status, 200, "{path}: {body}");
    body
}

fn status(client: &Client, path: &str) -> u16 {
    ask(client, &[], &format!("{CLOUDS}{path}")).0
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn ec2_id(vm: &Value) -> String {
    format!("i-{}", &vm["uuid"].as_str().unwrap().replace('-', "")[..12])
}

#[test]
fn tiny_cloud_reads_its_seed_by_wget_and_its_token_by_nc() {
    if !root() {
        return;
    }
    let mut lab = Lab::new();
    let (client, vm) = machine(&mut lab);
    let url = vm["seed_url"].as_str().unwrap();
    // Without its limit of a second (-T 1): Debian 12's static busybox crashes on the option.
    let wget = |words: &[&str]| {
        let base = ["timeout", "10", "busybox", "wget", "-q", "-O", "-"];
        client.run(&[&base, words].concat()).ok()
    };
    // It puts a slash of its own before the name.
    let meta_data = wget(&[&format!("{url}/meta-data")]);
    for line in ["hostname: \"web1.lab\"", KEY] {
        assert!(meta_data.contains(line), "{meta_data}");
    }
    assert_eq!(wget(&[&format!("{url}/user-data")]), USER_DATA);
    assert!(wget(&[&format!("{url}/vendor-data")]).contains("phone_home"));
    assert_eq!(wget(&[&format!("{url}/network-config")]), "");
    // As on Amazon's: HTTP/1.0 without a Host, and what the last line holds is the token.
    let put = "printf 'PUT /latest/api/token HTTP/1.0\\r\\nX-aws-ec2-metadata-token-ttl-seconds: 5\\r\\n\\r\\n' | busybox nc -w 5 169.254.169.254 80";
    let reply = client.run(&["sh", "-c", put]).ok();
    let token = format!(
        "X-aws-ec2-metadata-token: {}",
        reply.lines().next_back().unwrap().trim()
    );
    assert_eq!(token.len(), "X-aws-ec2-metadata-token: ".len() + 80, "{reply}");
    for (path, value) in [
        ("meta-data/hostname", "web1.lab"),
        ("meta-data/local-hostname", "web1.lab"),
        ("meta-data/public-keys/0/openssh-key", KEY),
        ("user-data", USER_DATA),
    ] {
        let said = wget(&["--header", &token, &format!("{CLOUDS}/latest/{path}")]);
        assert_eq!(said.trim_end(), value.trim_end(), "{path}");
    }
}

#[test]
fn cirros_takes_the_instance_id_and_crawls_the_oldest_tree() {
    if !root() {
        return;
    }
    let mut lab = Lab::new();
    let (client, vm) = machine(&mut lab);
    // Anything that does not start so it takes for no answer at all, and waits forty seconds.
    assert_eq!(read(&client, "/2009-04-04/instance-id").trim(), ec2_id(&vm));
    let tree = "/2009-04-04/meta-data";
    let keys = read(&client, &format!("{tree}/public-keys"));
    let (number, _) = keys.trim().split_once('=').unwrap();
    let key = read(&client, &format!("{tree}/public-keys/{number}/openssh-key"));
    assert_eq!(key.trim(), KEY);
    for (name, value) in [
        ("ami-launch-index", "0"),
        ("hostname", "web1.lab"),
        ("local-hostname", "web1.lab"),
        ("local-ipv4", "10.77.0.31"),
    ] {
        assert_eq!(read(&client, &format!("{tree}/{name}")).trim(), value, "{name}");
    }
    read(&client, &format!("{tree}/instance-type"));
    read(&client, &format!("{tree}/placement/availability-zone"));
    // What there is not is said at once, and cirros goes on.
    for name in ["public-ipv4", "public-hostname", "block-device-mapping"] {
        assert_eq!(status(&client, &format!("{tree}/{name}")), 404, "{name}");
    }
    assert_eq!(read(&client, "/2009-04-04/user-data"), USER_DATA);
}

#[test]
fn cloudbase_init_reads_openstack_by_a_host_route_through_the_gateway() {
    if !root() {
        return;
    }
    let mut lab = Lab::new();
    let (client, vm) = machine(&mut lab);
    // Windows sends nothing for 169.254/16 to a gateway by itself: the agent adds the route.
    client.run(&["ip", "route", "del", "default"]).ok();
    client
        .run(&["ip", "route", "add", "169.254.169.254/32", "via", "10.77.0.1"])
        .ok();
    let meta_data = json(&read(&client, "/openstack/latest/meta_data.json"));
    assert_eq!(meta_data["uuid"], vm["uuid"]);
    assert_eq!(meta_data["hostname"], "web1.lab");
    assert_eq!(
        meta_data["public_keys"]
            .as_object()
            .unwrap()
            .values()
            .next()
            .unwrap(),
        KEY
    );
    assert_eq!(read(&client, "/openstack/latest/user_data"), USER_DATA);
    let network = json(&read(&client, "/openstack/latest/network_data.json"));
    assert_eq!(network["links"][0]["ethernet_mac_address"], MAC);
    // The password of a Windows account is kept by nobody here; 404 is not asked again.
    let url = format!("{CLOUDS}/openstack/2013-04-04/password");
    assert_eq!(ask(&client, &["--data", "secret"], &url).0, 404);
}

#[test]
fn talos_reads_the_seed_that_the_serial_names() {
    if !root() {
        return;
    }
    let mut lab = Lab::new();
    let (client, vm) = machine(&mut lab);
    let url = vm["seed_url"].as_str().unwrap();
    let seed = |name: &str| ask(&client, &[], &format!("{url}{name}"));
    let (found, meta_data) = seed("meta-data");
    assert_eq!(found, 200);
    for line in [
        "hostname: \"web1.lab\"".to_owned(),
        format!("instance-id: {}", vm["uuid"]),
    ] {
        assert!(meta_data.lines().any(|have| have == line), "{line}: {meta_data}");
    }
    // An empty one is none: DHCP it is.
    assert_eq!(seed("network-config"), (200, String::new()));
    assert_eq!(seed("user-data"), (200, USER_DATA.to_owned()));
}

#[test]
fn afterburn_reads_openstacks_attributes_and_every_key_that_is_listed() {
    if !root() {
        return;
    }
    let mut lab = Lab::new();
    let (client, vm) = machine(&mut lab);
    let meta_data = json(&read(&client, "/openstack/2012-08-10/meta_data.json"));
    assert_eq!(meta_data["uuid"], vm["uuid"]);
    let leaf = |name: &str| read(&client, &format!("/latest/meta-data/{name}"));
    assert_eq!(leaf("hostname").trim(), "web1.lab");
    assert_eq!(leaf("instance-id").trim(), ec2_id(&vm));
    assert_eq!(leaf("local-ipv4").trim(), "10.77.0.31");
    leaf("instance-type");
    // Absent is 404 and nothing else: it asks ten times otherwise.
    assert_eq!(status(&client, "/latest/meta-data/public-ipv4"), 404);
    let keys = leaf("public-keys");
    for line in keys.lines() {
        let parts: Vec<_> = line.split('=').collect();
        assert_eq!(parts.len(), 2, "{line}");
        assert_eq!(leaf(&format!("public-keys/{}/openssh-key", parts[0])).trim(), KEY);
    }
}

/// The agent itself; `None`, and a word why, where it can not be built: a user's checkout is tested by a root without cargo.
fn afterburn() -> Option<String> {
    let build = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/system/afterburn-program");
    let built = Run::of(Command::new(build).arg(cache()));
    if built.code == 3 {
        say("skipped: afterburn, because root has no cargo to build it with");
        return None;
    }
    Some(built.ok().trim().to_owned())
}

/// What it writes into its attributes file, as a provider that it knows.
fn attributes(client: &Client, lab: &Lab, (program, provider): (&str, &str)) -> String {
    let [attributes, hostname] =
        ["attributes", "hostname"].map(|name| lab.path(name).to_string_lossy().into_owned());
    let words = [
        "--provider",
        provider,
        "--attributes",
        &attributes,
        "--hostname",
        &hostname,
    ];
    client
        .run(&[&["timeout", "60", program, "multi"][..], &words].concat())
        .ok();
    assert_eq!(fs::read_to_string(&hostname).unwrap().trim(), "web1.lab");
    fs::read_to_string(&attributes).unwrap()
}

#[test]
fn afterburn_itself_reads_openstacks_and_ec2s_trees() {
    if !root() {
        return;
    }
    let Some(program) = afterburn() else { return };
    let mut lab = Lab::new();
    let (client, vm) = machine(&mut lab);
    let has = |text: &str, line: &str| assert!(text.lines().any(|written| written == line), "{line}: {text}");
    let openstack = attributes(&client, &lab, (&program, "openstack-metadata"));
    has(&openstack, "AFTERBURN_OPENSTACK_HOSTNAME=web1.lab");
    has(&openstack, "AFTERBURN_OPENSTACK_IPV4_LOCAL=10.77.0.31");
    has(
        &openstack,
        &format!("AFTERBURN_OPENSTACK_INSTANCE_ID={}", ec2_id(&vm)),
    );
    let uuid = vm["uuid"].as_str().unwrap();
    has(&openstack, &format!("AFTERBURN_OPENSTACK_INSTANCE_UUID={uuid}"));
    // It takes a token first, and shows it with each request.
    let ec2 = attributes(&client, &lab, (&program, "aws"));
    has(&ec2, "AFTERBURN_AWS_HOSTNAME=web1.lab");
    has(&ec2, "AFTERBURN_AWS_IPV4_LOCAL=10.77.0.31");
    has(&ec2, &format!("AFTERBURN_AWS_INSTANCE_ID={}", ec2_id(&vm)));
    assert!(ec2.contains("AFTERBURN_AWS_REGION="), "{ec2}");
}

#[test]
fn ds_identify_of_every_release_finds_both_ways_by_the_firmware_alone() {
    if !root() {
        return;
    }
    let lab = Lab::without_daemon();
    for suite in SUITES {
        let tree = lab.path(suite);
        let write = |path: &str, text: &str| {
            let path = tree.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(
            "sys/class/dmi/id/product_serial",
            "ds=nocloud-net;s=http://10.77.0.1/nocloud/\n",
        );
        write("sys/class/dmi/id/product_name", "OpenStack Nova\n");
        write("sys/class/dmi/id/sys_vendor", "QEMU\n");
        write("proc/cmdline", "root=/dev/vda1\n");
        write("proc/1/environ", "");
        write("proc/uptime", "1.0 1.0\n");
        // It asks this program whether it runs in a container, whose firmware is not its own.
        write("bin/systemd-detect-virt", "#!/bin/sh\necho kvm\n");
        write("bin/blkid", "#!/bin/sh\n");
        let programs = tree.join("bin");
        Run::of(Command::new("chmod").args(["-R", "755"]).arg(&programs)).ok();
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", programs.display());
        let run = Run::of(
            Command::new("sh")
                .arg(code(suite).join("usr/lib/cloud-init/ds-identify"))
                .env("PATH", path)
                .env("PATH_ROOT", &tree)
                .env("DI_LOG", "stderr"),
        );
        assert_eq!(run.code, 0, "{suite}: {run}");
        let found = fs::read_to_string(tree.join("run/cloud-init/cloud.cfg")).unwrap();
        assert!(
            found.contains("datasource_list: [ NoCloud, OpenStack, None ]"),
            "{suite}: {found}"
        );
    }
}

/// A cloud's own metadata service, as the host of a lab sees it when it is a VM itself.
struct Cloud {
    world: World,
    servers: Vec<Child>,
}

impl Cloud {
    fn around(lab: &Lab) -> Self {
        let world = World::beside(lab);
        let folder = lab.path("cloud");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("who"), "the host's own cloud").unwrap();
        let ip = |words: &[&str]| drop(Run::of(Command::new("ip").args(words)).ok());
        for address in ["169.254.169.254", "169.254.170.2"] {
            ip(&["-n", &world.namespace, "addr", "add", address, "dev", "eth0"]);
            ip(&["-n", lab.namespace(), "route", "add", address, "dev", "uplink"]);
        }
        let serve = |port: &str| {
            Command::new("ip")
                .args(["netns", "exec", &world.namespace])
                .args(["/usr/bin/python3", "-m", "http.server", port, "--directory"])
                .arg(&folder)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        };
        let servers = vec![serve("80"), serve("8080")];
        Self { world, servers }
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        for server in &mut self.servers {
            server.kill().ok();
            server.wait().ok();
        }
    }
}

#[test]
fn h23_the_metadata_service_of_the_hosts_own_cloud_is_the_hosts_alone() {
    if !root() {
        return;
    }
    let mut lab = Lab::new();
    let (client, _) = machine(&mut lab);
    let cloud = Cloud::around(&lab);
    let host = |url: &str| Run::of(&mut lab.inside(&["curl", "-s", "--max-time", "3", url])).stdout;
    let theirs = [
        "169.254.169.254/who",
        "169.254.169.254:8080/who",
        "169.254.170.2/who",
    ];
    for url in theirs {
        let said = eventually(SOON, || host(url) == "the host's own cloud");
        assert!(said, "{url} in {}: the host lost its own", cloud.world.namespace);
    }
    // The way out is open, and none of it leads there.
    let guest = |url: &str| client.run(&["curl", "-s", "--max-time", "3", url]);
    assert_eq!(guest("192.0.2.9/who").stdout, "the host's own cloud");
    for url in theirs {
        let run = guest(url);
        assert!(!run.stdout.contains("cloud"), "{run}");
    }
    assert_ne!(guest("169.254.169.254:8080/who").code, 0);
    assert_ne!(guest("169.254.170.2/who").code, 0);
    assert_eq!(
        read(&client, "/latest/meta-data/local-hostname").trim(),
        "web1.lab"
    );
}

#[test]
fn the_one_address_leads_to_the_service_of_each_bridge() {
    if !root() {
        return;
    }
    let mut lab = Lab::without_daemon();
    let config = lab.path("config.yaml");
    let text = fs::read_to_string(&config).unwrap();
    let more = "- name: dmz\n  bridge: br1\n  subnet: 10.88.0.1/24\n  domain: dmz\n  nat: false\n";
    fs::write(&config, text + more).unwrap();
    lab.start_daemon();
    let (web1, _) = machine(&mut lab);
    let mac = "52:54:00:aa:00:32";
    lab.seedbed(&[
        "add",
        "proxy",
        "--mac",
        mac,
        "--network",
        "dmz",
        "--ip",
        "10.88.0.31",
    ])
    .ok();
    let proxy = lab.client(mac);
    proxy.move_to("br1");
    proxy.set_address("10.88.0.31/24");
    proxy
        .run(&["ip", "route", "add", "default", "via", "10.88.0.1"])
        .ok();
    for (client, name) in [(&web1, "web1.lab"), (&proxy, "proxy.dmz")] {
        assert_eq!(
            json(&read(client, "/openstack/latest/meta_data.json"))["hostname"],
            name
        );
        assert_eq!(read(client, "/latest/meta-data/hostname").trim(), name);
    }
}

#[test]
fn a_guest_that_looks_for_the_address_on_its_own_wire_finds_it() {
    if !root() {
        return;
    }
    let mut lab = Lab::new();
    let (client, _) = machine(&mut lab);
    // As avahi-autoipd and older network scripts do: it is asked for by ARP, and no gateway is.
    client
        .run(&["ip", "route", "add", "169.254.0.0/16", "dev", "eth0"])
        .ok();
    assert_eq!(read(&client, "/latest/meta-data/hostname").trim(), "web1.lab");
}

#[test]
fn what_render_shows_is_what_is_served() {
    if !root() {
        return;
    }
    let mut lab = Lab::new();
    let (client, _) = machine(&mut lab);
    let shown = |view: &str| lab.seedbed(&["render", "web1", "--as", view]).ok();
    let openstack = shown("openstack");
    for name in read(&client, "/openstack/latest").lines() {
        let body = read(&client, &format!("/openstack/latest/{name}"));
        let part = format!("=== {name} ({} bytes) ===\n{}\n", body.len(), body.trim_end());
        assert!(openstack.contains(&part), "{part} is not in {openstack}");
    }
    let ec2 = shown("ec2");
    for name in ["hostname", "instance-id", "public-keys/0/openssh-key"] {
        let value = read(&client, &format!("/latest/meta-data/{name}"));
        let line = format!("/latest/meta-data/{name}: {}", value.trim_end());
        assert!(ec2.lines().any(|have| have == line), "{line} is not in {ec2}");
    }
}
