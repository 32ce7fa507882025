//! Rules of the configuration as a whole.

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::{AccelChoice, Config, Problem};
use crate::model::Bytes;
use crate::model::network::Ec2Tokens;

fn problems(text: &str) -> Vec<Problem> {
    match Config::parse(text, Path::new("/etc/seedbed/config.yaml")) {
        Ok(config) => panic!("accepted: {config:?}"),
        Err(problems) => problems,
    }
}

fn accepted(text: &str) -> Config {
    Config::parse(text, Path::new("c.yaml")).unwrap_or_else(|problems| panic!("{problems:?}"))
}

const MINIMAL: &str = "networks: [{subnet: 10.77.0.1/24}]";

/// The minimal network with these keys more.
fn network(more: &str) -> String {
    format!("networks:\n- subnet: 10.77.0.1/24\n  {more}\n")
}

#[test]
fn a_subnet_is_all_that_must_be_written() {
    let config = accepted(MINIMAL);
    let network = &config.networks[0];
    assert_eq!(network.name.as_str(), "lab");
    assert_eq!(network.dhcp.lease, Duration::from_secs(43_200));
    assert_eq!(network.dns.ttl, Duration::from_secs(5));
    assert_eq!(
        (network.metadata.ttl, network.metadata.secrets_for),
        (1, Duration::from_secs(1800))
    );
    assert_eq!(
        accepted(&self::network("metadata: {ttl: 64}")).networks[0]
            .metadata
            .ttl,
        64
    );
    assert_eq!(config.defaults.memory, Bytes::mib(512));
    assert_eq!(config.undo_window, Duration::from_secs(86_400));
    assert_eq!(
        config.qemu,
        Path::new(&format!("qemu-system-{}", std::env::consts::ARCH))
    );
}

#[test]
fn every_key_is_understood() {
    let config = accepted(
        "state_dir: /srv/state\nrun_dir: /srv/run\nsocket: /srv/admin.sock\naccel: tcg\nqemu: /opt/qemu\n\
         templates: /etc/templates\nvendor_data: /etc/site\nundo_window: 7d\ndefaults: {cpus: 2, memory: 1G, swap: 0, stop_deadline: 90}\nnetworks:\n\
         - {name: a, bridge: br1, subnet: 10.1.0.1/16, pool: 10.1.2.0-10.1.2.99, domain: a.example, nat: false,\n\
         \x20  lease: 1h, dns: {upstreams: [9.9.9.9, '[2620:fe::fe]:5353'], ttl: 1m}, ntp: [10.1.0.9], mtu: 1450,\n\
         \x20  routes: [{to: 192.168.0.0/16, via: 10.1.0.7}], metadata: {ec2_tokens: required}, vendor_data: /etc/a}\n",
    );
    assert_eq!(config.places.state(), Path::new("/srv/state"));
    assert_eq!(config.socket, Path::new("/srv/admin.sock"));
    assert_eq!(config.accel, AccelChoice::Tcg);
    assert_eq!(config.templates_dir.as_deref(), Some(Path::new("/etc/templates")));
    assert_eq!(
        config.vendor_data.everywhere.as_deref(),
        Some(Path::new("/etc/site"))
    );
    assert_eq!(
        config.vendor_data.networks.into_iter().collect::<Vec<_>>(),
        [("a".parse().unwrap(), "/etc/a".into())]
    );
    assert_eq!((config.defaults.cpus, config.defaults.swap), (2, Bytes(0)));
    assert_eq!(config.defaults.stop_deadline, Duration::from_secs(90));
    assert_eq!(config.undo_window, Duration::from_secs(7 * 86_400));
    let network = &config.networks[0];
    assert_eq!(network.pool.to_string(), "10.1.2.0-10.1.2.99");
    let upstreams: Vec<String> = network.dns.upstreams.iter().map(ToString::to_string).collect();
    assert_eq!(upstreams, ["9.9.9.9:53", "[2620:fe::fe]:5353"]);
    assert_eq!((network.dhcp.settings.mtu, network.nat), (Some(1450), false));
    assert_eq!(network.metadata.ec2_tokens, Ec2Tokens::Required);
    assert_eq!(
        (
            network.dhcp.settings.routes[0].prefix,
            network.dhcp.settings.ntp.len()
        ),
        (16, 1)
    );
}

#[test]
fn all_problems_are_told_at_once_each_with_its_place() {
    let found = problems(
        "state_dir: lib\naccel: hvf\ndefaults: {cpus: 0, memory: 1M, swap: lots}\nnetworks:\n\
         - {name: A, subnet: 10.77.0.0/24, lease: 30s, mtu: 9, dns: {upstreams: [dns.example]}}\n\
         - {bridge: br1, subnet: 10.78.0.1/24, pool: 10.77.0.5-10.77.0.9}\n",
    );
    let places: Vec<&str> = found.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(
        places,
        [
            "state_dir",
            "networks[0].name",
            "networks[0].subnet",
            "networks[0].dns.upstreams[0]",
            "networks[0].mtu",
            "networks[0].lease",
            "networks[1].pool",
            "accel",
            "defaults.cpus",
            "defaults.swap",
            "defaults.memory",
        ]
    );
    assert!(found.iter().all(|problem| problem.position.is_none()));
    let text = found[0].to_string();
    assert!(
        text.starts_with("/etc/seedbed/config.yaml: state_dir: `lib` is not an absolute path"),
        "{text}"
    );
}

#[test]
fn a_document_that_can_not_be_read_is_told_with_line_and_column() {
    for (text, line, path, says) in [
        (
            "networks:\n\t- subnet: 10.77.0.1/24\n",
            2,
            "",
            "cannot start any token",
        ),
        (
            "networks:\n- subnet: 'a\n",
            3,
            "",
            "while scanning a quoted scalar at line 2",
        ),
        ("state_dir: /a\nnetwroks: []\n", 2, "", "unknown field `netwroks`"),
        (
            "networks:\n- subnet: 10.77.0.1/24\n  dns: {server: 9.9.9.9}\n",
            3,
            "networks[0].dns",
            "unknown field `server`",
        ),
        (
            "networks:\n- subnet: 10.77.0.1/24\n  nat: perhaps\n",
            3,
            "networks[0].nat",
            "boolean",
        ),
        (
            "networks:\n- subnet: {a: b}\n",
            2,
            "networks[0].subnet",
            "a single value",
        ),
        ("accel: tcg\naccel: kvm\n", 1, "", "duplicate field `accel`"),
    ] {
        let found = problems(text);
        let [problem] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert_eq!(problem.position.map(|(line, _)| line), Some(line), "{problem}");
        assert_eq!(problem.path, path, "{problem}");
        assert!(problem.message.contains(says), "{problem}");
        assert!(
            !problem.message.contains(&format!(" at line {line} ")),
            "{problem}"
        );
    }
}

#[test]
fn networks_do_not_collide() {
    let found = problems(
        "networks:\n- {name: a, bridge: br0, subnet: 10.77.0.1/16}\n- {name: a, bridge: br0, subnet: 10.77.3.1/24}\n",
    );
    let texts: Vec<String> = found
        .iter()
        .map(|p| format!("{}: {}", p.path, p.message))
        .collect();
    assert_eq!(
        texts,
        [
            "networks[1].name: `a` is networks[0]'s already: each network needs its own",
            "networks[1].bridge: `br0` is networks[0]'s already: each network needs its own",
            "networks[1].subnet: 10.77.3.0/24 overlaps 10.77.0.0/16 of networks[0]",
        ]
    );
}

#[test]
fn an_upstream_that_is_seedbed_itself_is_refused() {
    let two = "networks:\n- {name: a, bridge: br0, subnet: 10.1.0.1/24, dns: {upstreams: [10.2.0.1]}}\n\
               - {name: b, bridge: br1, subnet: 10.2.0.1/24}\n";
    for text in [&network("dns: {upstreams: ['10.77.0.1:53']}"), two] {
        let found = problems(text);
        assert_eq!(found[0].path, "networks[0].dns.upstreams");
        assert!(found[0].message.contains("would ask itself"), "{}", found[0]);
    }
}

#[test]
fn a_subnet_that_means_something_else_everywhere_is_refused() {
    for subnet in ["127.0.0.1/8", "169.254.1.1/16", "224.0.0.1/24"] {
        let found = problems(&format!(
            "networks:\n- {{name: a, bridge: br0, subnet: {subnet}}}\n"
        ));
        assert_eq!(found[0].path, "networks[0].subnet", "{found:?}");
    }
}

#[test]
fn what_can_not_work_is_refused_where_it_is_written() {
    for (more, path) in [
        ("lease: 59s", "networks[0].lease"),
        ("lease: 4294967295", "networks[0].lease"),
        ("lease: soon", "networks[0].lease"),
        ("dns: {ttl: 2147483648}", "networks[0].dns.ttl"),
        ("dns: {upstreams: [0.0.0.0]}", "networks[0].dns.upstreams[0]"),
        ("dns: {upstreams: ['9.9.9.9:0']}", "networks[0].dns.upstreams[0]"),
        ("pool: 10.77.0.0-10.77.0.9", "networks[0].pool"),
        ("mtu: 70000", "networks[0].mtu"),
        ("metadata: {ttl: 0}", "networks[0].metadata.ttl"),
        ("metadata: {ttl: 65}", "networks[0].metadata.ttl"),
        ("metadata: {secrets_for: 59s}", "networks[0].metadata.secrets_for"),
        ("metadata: {secrets_for: 2d}", "networks[0].metadata.secrets_for"),
        ("ntp: [pool.ntp.org]", "networks[0].ntp[0]"),
        ("domain: Lab", "networks[0].domain"),
        ("bridge: a-bridge-name-too-long", "networks[0].bridge"),
        (
            "routes: [{to: 192.168.1.0/16, via: 10.77.0.2}]",
            "networks[0].routes[0]",
        ),
        (
            "routes: [{to: 192.168.0.0/33, via: 10.77.0.2}]",
            "networks[0].routes[0]",
        ),
        (
            "routes: [{to: 192.168.0.0/16, via: 10.78.0.2}]",
            "networks[0].routes[0]",
        ),
        ("vendor_data: site.yaml", "networks[0].vendor_data"),
    ] {
        let found = problems(&network(more));
        let paths: Vec<&str> = found.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(paths, [path], "{more}");
    }
    for (more, path) in [
        ("socket: run/x.sock", "socket"),
        ("qemu: bin/qemu", "qemu"),
        ("templates: t", "templates"),
        ("vendor_data: v", "vendor_data"),
    ] {
        assert_eq!(problems(&format!("{MINIMAL}\n{more}\n"))[0].path, path);
    }
    let long = format!("{MINIMAL}\nrun_dir: /{}\n", "r".repeat(96));
    assert!(problems(&long)[0].message.contains("Unix sockets allow 107"));
}

#[test]
fn a_configuration_without_a_network_says_how_to_get_one() {
    for text in ["", "# nothing\n", "networks: []", "networks:\n- {}\n"] {
        assert_eq!(problems(text).len(), 1, "{text}");
    }
    assert!(problems("")[0].message.contains("seedbed init"));
}

#[test]
fn the_pool_leaves_the_first_addresses_of_a_large_subnet_alone() {
    for (subnet, pool) in [
        ("10.77.0.1/24", "10.77.0.10-10.77.0.254"),
        ("10.77.0.1/16", "10.77.0.10-10.77.255.254"),
        ("10.77.0.1/28", "10.77.0.1-10.77.0.14"),
    ] {
        let config = accepted(&format!("networks: [{{subnet: {subnet}}}]"));
        assert_eq!(config.networks[0].pool.to_string(), pool);
    }
}

proptest! {
    #[test]
    fn any_text_is_a_configuration_or_problems(text in ".{0,200}") {
        let _outcome = Config::parse(&text, Path::new("c"));
    }

    #[test]
    fn any_values_in_the_right_places_are_judged_without_a_panic(
        values in proptest::collection::vec("[ -~]{0,20}|[0-9./:-]{0,24}", 12),
    ) {
        let quoted: Vec<String> = values.iter().map(|v| serde_json::Value::from(v.as_str()).to_string()).collect();
        let text = format!(
            "accel: {}\ndefaults: {{cpus: {}, memory: {}}}\nnetworks:\n- {{subnet: {}, pool: {}, lease: {}, mtu: {}, \
             dns: {{upstreams: [{}], ttl: {}}}, ntp: [{}], routes: [{{to: {}, via: {}}}]}}\n",
            quoted[0], quoted[1], quoted[2], quoted[3], quoted[4], quoted[5], quoted[6], quoted[7], quoted[8],
            quoted[9], quoted[10], quoted[11],
        );
        let _outcome = Config::parse(&text, Path::new("c"));
    }
}

#[test]
fn host_keys_are_reported_unless_they_are_to_be_generated() {
    use crate::model::HostKeyPolicy;
    let policy = |more: &str| accepted(&network(more)).networks[0].host_keys;
    assert_eq!(policy("nat: true"), HostKeyPolicy::Reported);
    for meant in HostKeyPolicy::ALL {
        assert_eq!(policy(&format!("ssh_host_keys: {}", meant.as_str())), meant);
    }
    let told = problems(&network("ssh_host_keys: yes, please"));
    assert!(
        told[0].to_string().contains("ssh_host_keys") && told[0].to_string().contains("generated"),
        "{told:?}"
    );
}
