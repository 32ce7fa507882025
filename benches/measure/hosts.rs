//! The registered hosts: read from the same `name,mac,ip` lines that every server's configuration is made of.

use std::net::Ipv4Addr;
use std::path::Path;
use std::{fs, io};

/// An Ethernet address.
pub(crate) type Mac = [u8; 6];

/// One registered host.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    /// Its name, without the domain.
    pub(crate) name: String,
    /// Its hardware address.
    pub(crate) mac: Mac,
    /// The address that it has to be given.
    pub(crate) ip: Ipv4Addr,
}

/// Reads the hosts. A line that is not `name,mac,ip` is an error that names it.
pub(crate) fn read(path: &Path) -> io::Result<Vec<Host>> {
    let text = fs::read_to_string(path).map_err(|error| about(path, &error))?;
    let hosts: io::Result<Vec<Host>> = text.lines().skip(1).map(host).collect();
    let hosts = hosts.map_err(|error| about(path, &error))?;
    if hosts.is_empty() {
        return Err(about(path, &io::Error::other("no host is in it")));
    }
    Ok(hosts)
}

fn about(path: &Path, error: &io::Error) -> io::Error {
    io::Error::other(format!("{}: {error}", path.display()))
}

fn host(line: &str) -> io::Result<Host> {
    let parsed = || {
        let (name, rest) = line.split_once(',')?;
        let (mac, ip) = rest.split_once(',')?;
        Some(Host {
            name: name.to_owned(),
            mac: parse_mac(mac)?,
            ip: ip.parse().ok()?,
        })
    };
    parsed().ok_or_else(|| io::Error::other(format!("`{line}` is not name,mac,ip")))
}

/// Reads `02:5b:00:00:00:01`.
pub(crate) fn parse_mac(text: &str) -> Option<Mac> {
    let mut mac = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut mac {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}

/// From hardware addresses to positions: open addressing, at most half full, no allocation and no pointer chased.
#[derive(Debug)]
pub(crate) struct MacTable {
    slots: Vec<(u64, u32)>,
    mask: usize,
}

impl MacTable {
    /// The table of these addresses, each with its position.
    pub(crate) fn new(hosts: &[Host]) -> Self {
        let size = (hosts.len() * 2).next_power_of_two().max(16);
        let mut table = Self {
            slots: vec![(EMPTY, 0); size],
            mask: size - 1,
        };
        for (index, host) in hosts.iter().enumerate() {
            let key = key(host.mac);
            let mut at = table.home(key);
            while table.slots[at].0 != EMPTY {
                at = (at + 1) & table.mask;
            }
            table.slots[at] = (key, u32::try_from(index).unwrap_or(u32::MAX));
        }
        table
    }

    /// The position of the host with this address.
    pub(crate) fn get(&self, mac: Mac) -> Option<usize> {
        let key = key(mac);
        let mut at = self.home(key);
        loop {
            match self.slots[at] {
                (found, index) if found == key => return Some(index as usize),
                (EMPTY, _) => return None,
                _ => at = (at + 1) & self.mask,
            }
        }
    }

    fn home(&self, key: u64) -> usize {
        // Fibonacci hashing: the high bits of the product are well mixed.
        usize::try_from(key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32).unwrap_or(0) & self.mask
    }
}

/// No hardware address has 64 bits.
const EMPTY: u64 = u64::MAX;

fn key(mac: Mac) -> u64 {
    let [a, b, c, d, e, f] = mac;
    u64::from_be_bytes([0, 0, a, b, c, d, e, f])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_registered_address_is_found_and_no_other() {
        let line = |n: u32| {
            let [_, a, b, c] = n.to_be_bytes();
            format!("h{n},02:5b:00:{a:02x}:{b:02x}:{c:02x},10.64.{b}.{c}")
        };
        let hosts: Vec<Host> = (0..1000).map(|n| host(&line(n)).unwrap()).collect();
        let table = MacTable::new(&hosts);
        for (index, host) in hosts.iter().enumerate() {
            assert_eq!(table.get(host.mac), Some(index), "{host:?}");
        }
        assert_eq!(table.get([2, 0x5b, 0, 0, 0x10, 0]), None);
    }

    #[test]
    fn a_line_of_another_form_is_refused_by_name() {
        let error = host("web1,02:5b:00:00:00,10.0.0.1").unwrap_err().to_string();
        assert!(error.contains("web1,02:5b:00:00:00"), "{error}");
    }
}
