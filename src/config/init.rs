//! The commented configuration that `seedbed init` writes.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::networks::{BRIDGE, DOMAIN, NAME, default_pool};
use super::paths::{RUN_DIR, STATE_DIR};
use crate::model::{BridgeName, Domain, NetworkName, Subnet};

/// What `seedbed init` may be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitOptions {
    /// The network's name.
    pub network: NetworkName,
    /// The bridge.
    pub bridge: BridgeName,
    /// The bridge's address and prefix length.
    pub subnet: Subnet,
    /// The DNS domain.
    pub domain: Domain,
    /// Whether guests reach the world through the host's address.
    pub nat: bool,
    /// What survives a reboot.
    pub state_dir: PathBuf,
    /// What does not.
    pub run_dir: PathBuf,
    /// The admin socket; in the run directory when not given.
    pub socket: Option<PathBuf>,
}

impl Default for InitOptions {
    fn default() -> Self {
        Self {
            network: constant(NAME),
            bridge: constant(BRIDGE),
            subnet: constant("10.77.0.1/24"),
            domain: constant(DOMAIN),
            nat: true,
            state_dir: STATE_DIR.into(),
            run_dir: RUN_DIR.into(),
            socket: None,
        }
    }
}

fn constant<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> T {
    text.parse()
        .unwrap_or_else(|error| unreachable!("a built-in default is valid: {error}"))
}

/// The configuration's text; it parses back to what the options mean.
pub fn render(options: &InitOptions) -> String {
    let mut text = String::new();
    // Writing to a String can not fail.
    let _ = host_part(options, &mut text).and_then(|()| network_part(options, &mut text));
    text
}

fn host_part(options: &InitOptions, text: &mut String) -> std::fmt::Result {
    let socket = match &options.socket {
        Some(path) => format!("socket: {}", path_scalar(path)),
        None => format!("# socket: {}", path_scalar(&options.run_dir.join("seedbed.sock"))),
    };
    write!(
        text,
        "\
# Configuration of seedbed, read when the daemon starts. Lines behind `# ` show defaults and examples.
# Sizes: 512M, 2G. Times: 90s, 5m, 12h, 1d. All paths are absolute.

# What must survive a reboot: the registry, images, disks.
state_dir: {state}
# What must not: sockets.
run_dir: {run}
# Where clients reach the daemon. SEEDBED_SOCKET in the environment wins over it.
{socket}

# auto: KVM where it really runs guests, else emulation. kvm: KVM or an error. tcg: emulation.
# accel: auto
# The QEMU program: a name to look up in PATH, or an absolute path.
# qemu: qemu-system-{arch}
# A directory with seed templates of your own; without it, `templates` below the state directory.
# templates: /etc/seedbed/templates
# Settings, a script, or several of them, that every VM is given besides its template.
# vendor_data: /etc/seedbed/vendor-data
# How this host itself finds the VMs' names. auto: by systemd-resolved where it runs, else by a block in the hosts
# file. resolved, hosts: by that one. off: not at all.
# host_names: auto
# hosts_file: /etc/hosts
# How long a deleted VM can be undone (seedbed undelete). 0: its disks are gone at once.
# undo_window: 24h

# What a VM gets when nothing else is said.
# defaults:
#   cpus: 1
#   memory: 512M
#   # A swap disk beside the root disk; 0 for none.
#   swap: 512M
#   # How long a guest may take to power off before it is powered off by force.
#   stop_deadline: 60s

# How many VMs are made and started at once; two a processor when not said.
# starts:
#   at_once: 4
#   # Where the host waits for more of its time than this, in per cent (PSI), they start one by one, and short of memory not yet;
#   # 100 for never.
#   cpu_pressure: 80
#   io_pressure: 60
#   memory_pressure: 10

",
        state = path_scalar(&options.state_dir),
        run = path_scalar(&options.run_dir),
        arch = std::env::consts::ARCH,
    )
}

fn network_part(options: &InitOptions, text: &mut String) -> std::fmt::Result {
    let subnet = options.subnet;
    write!(
        text,
        "\
networks:
- name: {name}
  # Made when it is missing.
  bridge: {bridge}
  # The bridge's own address: the guests' gateway, DHCP, DNS and metadata server.
  subnet: {gateway}/{prefix}
  # Given out when you choose no address. What lies outside of it is left for addresses that you choose.
  pool: {pool}
  # VMs are called NAME.{domain_plain}.
  domain: {domain}
  # Whether guests reach the world through this host's address.
  nat: {nat}
  # Who makes the SSH host keys. reported: each VM, at its first boot. generated: seedbed, before that.
  # ssh_host_keys: reported
  # lease: 12h
  # dns:
  #   # Where other names are asked; the host's own resolvers when empty.
  #   upstreams: [9.9.9.9, \"149.112.112.112:53\"]
  #   # How long a VM's name may be cached.
  #   ttl: 5s
  #   # Who may copy the zones (dig axfr), beside this host.
  #   transfer: [192.0.2.53, 192.0.2.64/28]
  #   # Whether answers from elsewhere may hold private addresses.
  #   private_answers: false
  #   # What guests are told instead of the gateway and the domain.
  #   servers: [{gateway}]
  #   search: [{domain_plain}, example.org]
  # dhcp:
  #   # authoritative: the only DHCP server here. polite: beside others. proxy: others give the addresses, and only
  #   # network boot is answered.
  #   mode: authoritative
  #   # Machines that are not registered. ignore: no answer. pool: a dynamic lease. discover: no answer, but
  #   # `seedbed discovered` lists them.
  #   unregistered: ignore
  #   # Where dynamic leases come from.
  #   dynamic: {pool}
  #   # Any other option, as ip, text or hex.
  #   options:
  #     150: ip 192.0.2.9
",
        name = scalar(options.network.as_str()),
        bridge = scalar(options.bridge.as_str()),
        gateway = subnet.gateway(),
        prefix = subnet.prefix(),
        pool = default_pool(subnet),
        domain = scalar(options.domain.as_str()),
        domain_plain = options.domain,
        nat = options.nat,
    )?;
    network_rest(subnet, text)
}

fn network_rest(subnet: Subnet, text: &mut String) -> std::fmt::Result {
    write!(
        text,
        "  # metadata:
  #   # How many hops an answer goes: 1 reaches guests, and no container that a guest routes for.
  #   ttl: 1
  #   # required: EC2's tree is read with a session token only (IMDSv2).
  #   ec2_tokens: optional
  #   # How long after its start a VM is told its secrets, when its first boot does not succeed before.
  #   secrets_for: 30m
  #   # Whether cloud-init reports each step, for `seedbed show`. Later boots then warn of what it could not report before the
  #   # network was up: `cloud-init status` says degraded there.
  #   reports: false
  # Time servers, by address.
  # ntp: [192.0.2.123]
  # mtu: 1450
  # Routes beside the default route.
  # routes:
  # - to: 192.168.0.0/16
  #   via: {gateway}
",
        gateway = subnet.gateway(),
    )
}

fn path_scalar(path: &Path) -> String {
    scalar(&path.to_string_lossy())
}

/// The text as YAML: plain where YAML reads it back as that very text, else quoted as JSON, which is YAML too.
fn scalar(text: &str) -> String {
    // Names such as `null` or `1e3` would become something else, and ` #` would begin a comment.
    let plain = serde_yaml::from_str::<serde_yaml::Value>(text)
        .is_ok_and(|value| value.as_str() == Some(text))
        && !text.starts_with(['"', '\'']);
    if plain {
        text.to_owned()
    } else {
        serde_json::Value::from(text).to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::{AccelChoice, Config, Defaults};

    fn parsed(options: &InitOptions) -> Config {
        let text = render(options);
        Config::parse(&text, Path::new("config.yaml"))
            .unwrap_or_else(|problems| panic!("{problems:?}\n{text}"))
    }

    #[test]
    fn the_written_configuration_means_the_defaults() {
        let config = parsed(&InitOptions::default());
        assert_eq!(config.places.state(), Path::new("/var/lib/seedbed"));
        assert_eq!(config.places.run(), Path::new("/run/seedbed"));
        assert_eq!(config.socket, Path::new("/run/seedbed/seedbed.sock"));
        assert_eq!(config.accel, AccelChoice::Auto);
        assert_eq!(config.defaults, Defaults::default());
        let [network] = config.networks.as_slice() else {
            panic!("one network")
        };
        assert_eq!(
            (
                network.name.as_str(),
                network.bridge.as_str(),
                network.domain.as_str()
            ),
            ("lab", "br0", "lab")
        );
        assert_eq!(network.subnet.gateway().to_string(), "10.77.0.1");
        assert_eq!(network.pool.to_string(), "10.77.0.10-10.77.0.254");
        assert!(network.nat && network.dns.upstreams.is_empty());
    }

    /// The keys that stand behind a hash.
    #[rustfmt::skip]
    const KEYS: &[&str] = &[
        "accel", "qemu", "templates", "vendor_data", "defaults", "cpus", "memory", "swap", "stop_deadline", "lease",
        "dns", "upstreams", "ttl", "transfer", "private_answers", "servers", "search", "dhcp", "mode",
        "unregistered", "dynamic", "options", "150", "ntp", "mtu", "routes", "- to", "via",
        "socket", "metadata", "ec2_tokens", "secrets_for", "reports", "undo_window",
        "starts", "at_once", "cpu_pressure", "io_pressure", "memory_pressure",
    ];

    #[test]
    fn the_commented_lines_are_valid_when_the_hash_is_taken_away() {
        let text = render(&InitOptions::default());
        let active: Vec<String> = text
            .lines()
            .map(|line| {
                let bare = line.trim_start().strip_prefix("# ").unwrap_or_default();
                let key = bare
                    .trim_start()
                    .split(": ")
                    .next()
                    .unwrap_or_default()
                    .trim_end_matches(':');
                if KEYS.contains(&key) {
                    line.replacen("# ", "", 1)
                } else {
                    line.to_owned()
                }
            })
            .collect();
        let active = active.join("\n");
        assert!(
            !active.contains("# mtu") && !active.contains("# - to"),
            "{active}"
        );
        let config = Config::parse(&active, Path::new("c")).unwrap_or_else(|p| panic!("{p:?}\n{active}"));
        // Those that show defaults mean the defaults.
        let plain = parsed(&InitOptions::default());
        assert_eq!((config.defaults, config.qemu), (plain.defaults, plain.qemu));
        assert_eq!(config.socket, plain.socket);
        let (network, plain) = (&config.networks[0], &plain.networks[0]);
        assert_eq!(
            (network.dhcp.lease, network.dns.ttl),
            (plain.dhcp.lease, plain.dns.ttl)
        );
        assert_eq!(
            (network.dns.upstreams.len(), network.dhcp.settings.routes.len()),
            (2, 1)
        );
        assert_eq!(
            (network.dns.transfer.len(), network.dhcp.settings.options.len()),
            (2, 1)
        );
        assert_eq!(
            (network.dhcp.mode, network.dhcp.unregistered),
            (plain.dhcp.mode, plain.dhcp.unregistered)
        );
        assert_eq!(network.dhcp.dynamic, plain.dhcp.dynamic);
    }

    proptest! {
        #[test]
        fn any_options_come_back_as_they_were(
            network in "[a-z0-9]{1,8}|null|true|1e3|0x10",
            domain in "[a-z0-9]{1,8}|null|no|1e3|12",
            bridge in "[a-zA-Z0-9]{1,15}|1[.]5|1_0",
            directory in "/[ -~é]{0,30}",
            gateway in 1_u8..=254,
            prefix in 8_u8..=24,
            nat: bool,
        ) {
            let options = InitOptions {
                network: network.parse().unwrap(),
                bridge: bridge.parse().unwrap(),
                subnet: format!("10.77.0.{gateway}/{prefix}").parse().unwrap(),
                domain: domain.parse().unwrap(),
                nat,
                state_dir: PathBuf::from(&directory),
                run_dir: PathBuf::from(format!("{directory}/run")),
                socket: Some(PathBuf::from(format!("{directory}.sock"))),
            };
            let config = parsed(&options);
            prop_assert_eq!(config.places.state(), options.state_dir.as_path());
            prop_assert_eq!(config.places.run(), options.run_dir.as_path());
            prop_assert_eq!(Some(config.socket), options.socket);
            let found = &config.networks[0];
            prop_assert_eq!(&found.name, &options.network);
            prop_assert_eq!(&found.bridge, &options.bridge);
            prop_assert_eq!(&found.domain, &options.domain);
            prop_assert_eq!(found.subnet, options.subnet);
            prop_assert_eq!(found.nat, nat);
        }
    }
}
