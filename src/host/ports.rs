//! Who holds a port: `/proc/net` tells the socket's inode, `/proc/*/fd` tells whose it is.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// UDP.
    Udp,
    /// TCP; only listening sockets count.
    Tcp,
}

/// A process that holds a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its process id.
    pub pid: u32,
    /// Its name, as `ps` shows it.
    pub name: String,
    /// Its command line, arguments separated by spaces.
    pub command: String,
}

/// The process, of this network namespace, that holds a port on this address or on all addresses.
///
/// `None` also when the process can not be seen (another container's, or we are not root).
pub fn owner(protocol: Protocol, port: u16, address: Ipv4Addr) -> Option<Owner> {
    // A socket on [::] takes the port for IPv4 as well, unless it says otherwise, which /proc does not tell: last.
    let (four, six) = match protocol {
        Protocol::Udp => ("/proc/self/net/udp", "/proc/self/net/udp6"),
        Protocol::Tcp => ("/proc/self/net/tcp", "/proc/self/net/tcp6"),
    };
    [four, six].into_iter().find_map(|file| {
        let table = fs::read_to_string(file).ok()?;
        table
            .lines()
            .filter_map(socket)
            .filter(|found| found.takes(protocol, port, address))
            .find_map(|found| holder(found.inode))
    })
}

impl Owner {
    /// What to do so that the port becomes free.
    pub fn stop_hint(&self) -> String {
        let unit = match self.name.as_str() {
            "dnsmasq" if self.command.contains("libvirt") => {
                let network = self.libvirt_network().unwrap_or("NAME");
                return format!(
                    "it serves libvirt's network `{network}`: stop that with `virsh net-destroy {network}`, or give \
                     this network another bridge and subnet"
                );
            }
            "dnsmasq" => "dnsmasq",
            // A process name has at most 15 characters.
            "systemd-resolve" | "systemd-resolved" => {
                return "remove DNSStubListenerExtra= for this address from /etc/systemd/resolved.conf, then `systemctl \
                        restart systemd-resolved`"
                    .into();
            }
            "systemd-network" | "systemd-networkd" => {
                return "set DHCPServer=no in the bridge's .network file, then `networkctl reload`".into();
            }
            "apache2" | "httpd" | "nginx" | "lighttpd" | "caddy" | "haproxy" => {
                return format!(
                    "let {0} listen on the host's other addresses only, or stop it: `systemctl stop {0}`",
                    self.name
                );
            }
            "named" | "unbound" | "dhcpd" | "kea-dhcp4" | "pdns_server" | "coredns" => self.name.as_str(),
            _ => {
                return format!(
                    "let it listen on other addresses only, or end it (process {})",
                    self.pid
                );
            }
        };
        format!("let it leave out this bridge, or stop it: `systemctl stop {unit}`")
    }

    /// libvirt names the configuration file after the network.
    fn libvirt_network(&self) -> Option<&str> {
        let file = self
            .command
            .split([' ', '='])
            .map(Path::new)
            .find(|word| word.is_absolute() && word.extension().is_some_and(|ext| ext == "conf"))?;
        file.file_stem()?.to_str()
    }
}

/// One line of `/proc/net/{udp,tcp}` or of their IPv6 likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Socket {
    address: IpAddr,
    port: u16,
    state: u8,
    inode: u64,
}

impl Socket {
    fn takes(self, protocol: Protocol, port: u16, address: Ipv4Addr) -> bool {
        /// `TCP_LISTEN` of `net/tcp_states.h`.
        const LISTEN: u8 = 0x0a;
        let here = match self.address {
            IpAddr::V4(four) => four == address,
            IpAddr::V6(six) => six.to_ipv4_mapped() == Some(address),
        };
        self.port == port
            && (here || self.address.is_unspecified())
            && (protocol == Protocol::Udp || self.state == LISTEN)
    }
}

/// Reads `0: 0100007F:0035 00000000:0000 0A ... inode ...`: the address is in the machine's byte order, word by word.
fn socket(line: &str) -> Option<Socket> {
    let mut fields = line.split_ascii_whitespace();
    let (address, port) = fields.nth(1)?.split_once(':')?;
    let state = u8::from_str_radix(fields.nth(1)?, 16).ok()?;
    Some(Socket {
        address: local_address(address)?,
        port: u16::from_str_radix(port, 16).ok()?,
        state,
        inode: fields.nth(5)?.parse().ok()?,
    })
}

fn local_address(hex: &str) -> Option<IpAddr> {
    let word = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::to_ne_bytes);
    match hex.len() {
        8 => word(hex).map(IpAddr::from),
        32 => {
            let mut octets = [0; 16];
            for (index, to) in octets.chunks_exact_mut(4).enumerate() {
                to.copy_from_slice(&word(hex.get(index * 8..index * 8 + 8)?)?);
            }
            Some(octets.into())
        }
        _ => None,
    }
}

fn holder(inode: u64) -> Option<Owner> {
    // A socket in TIME_WAIT belongs to nobody.
    if inode == 0 {
        return None;
    }
    let wanted = format!("socket:[{inode}]");
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let mut files = fs::read_dir(entry.path().join("fd")).ok()?.flatten();
        files
            .any(|file| fs::read_link(file.path()).is_ok_and(|to| to.as_os_str() == wanted.as_str()))
            .then(|| process(pid))
    })
}

fn process(pid: u32) -> Owner {
    let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let text = |bytes: Vec<u8>| {
        String::from_utf8_lossy(&bytes)
            .replace('\0', " ")
            .trim()
            .to_owned()
    };
    Owner {
        pid,
        name: text(read("comm")),
        command: text(read("cmdline")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::namespace;
    use proptest::prelude::*;
    use std::net::{TcpListener, UdpSocket};

    #[test]
    #[cfg(target_endian = "little")]
    fn a_line_of_proc_net_is_read() {
        let four = "  9: 0100007F:0035 00000000:0000 0A 00000000:00000000 00:00000000 00000000   101        0 4242 1 0 0";
        let read = Socket {
            address: Ipv4Addr::LOCALHOST.into(),
            port: 53,
            state: 10,
            inode: 4242,
        };
        assert_eq!(socket(four), Some(read));
        let address = |hex| local_address(hex).unwrap().to_string();
        assert_eq!(address("00000000000000000000000000000000"), "::");
        assert_eq!(address("0000000000000000FFFF00000100007F"), "::ffff:127.0.0.1");
        assert_eq!(address("00000000000000000000000001000000"), "::1");
        assert_eq!(socket("  sl  local_address rem_address   st tx_queue"), None);
    }

    #[test]
    fn the_process_that_holds_a_port_is_named() {
        namespace::inside(
            "host::ports::tests::the_process_that_holds_a_port_is_named",
            async |_| {
                let any = Ipv4Addr::new(10, 77, 0, 1);
                let _udp = UdpSocket::bind("0.0.0.0:67").unwrap();
                let _tcp = TcpListener::bind("[::]:80").unwrap();
                let _elsewhere = UdpSocket::bind("127.0.0.53:53").unwrap();
                let us = std::process::id();
                assert_eq!(owner(Protocol::Udp, 67, any).unwrap().pid, us);
                assert_eq!(owner(Protocol::Tcp, 80, any).unwrap().pid, us);
                assert_eq!(owner(Protocol::Udp, 53, any), None);
                assert_eq!(owner(Protocol::Tcp, 67, any), None);
                assert!(!owner(Protocol::Udp, 67, any).unwrap().name.is_empty());
            },
        );
    }

    #[test]
    fn the_hint_fits_the_process() {
        let hint = |name: &str, command: &str| {
            let (name, command) = (name.to_owned(), command.to_owned());
            Owner {
                pid: 123,
                name,
                command,
            }
            .stop_hint()
        };
        let libvirt = "/usr/sbin/dnsmasq --conf-file=/var/lib/libvirt/dnsmasq/default.conf --leasefile-ro";
        assert!(hint("dnsmasq", libvirt).contains("`virsh net-destroy default`"));
        assert!(hint("dnsmasq", "dnsmasq -d").contains("`systemctl stop dnsmasq`"));
        assert!(hint("nginx", "nginx: master").contains("`systemctl stop nginx`"));
        assert!(hint("mine", "mine").contains("process 123"));
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_skipped(line in ".*") {
            let _ = socket(&line);
        }

        #[test]
        fn any_fields_are_read_or_skipped(address in "[0-9A-Fa-fé:]{0,40}", state in "[0-9A-F]{0,3}") {
            let _ = socket(&format!("0: {address} 0:0 {state} 0 0 0 0 0 1"));
        }
    }
}
