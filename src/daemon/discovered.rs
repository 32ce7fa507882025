//! Remembers hardware addresses that asked for an address and have no record, until one is made of them.
//!
//! The memory is bounded for each network, and lies in the run directory: it outlives the daemon, not the host's boot.
//! Whoever floods it with made-up addresses pushes out old ones, and never makes it larger.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Daemon;
use crate::dhcp::Seen;
use crate::export;
use crate::model::{Directory, MacAddress, NetworkName, Timestamp, mac};

/// How many are remembered of each network; the one that was not seen for the longest time goes first.
const REMEMBERED: usize = 1_024;
/// How much of what a client says of itself is kept, in characters.
const SAID: usize = 64;
/// How often what was seen is written.
const WRITE_EVERY: Duration = Duration::from_secs(5);

/// What is remembered of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) hostname: Option<Box<str>>,
    pub(super) vendor: Option<Box<str>>,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    pub(super) count: u64,
}

/// All that are remembered.
#[derive(Debug, Default)]
pub(super) struct Discovered(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    networks: BTreeMap<NetworkName, BTreeMap<MacAddress, Known>>,
    /// Whether the file has something else.
    unwritten: bool,
}

impl Discovered {
    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers that a client asked. Cheap, and never writes: a flood of packets may come through here.
    pub(super) fn note(&self, seen: Seen, now: Timestamp) {
        let mut memory = self.lock();
        memory.unwritten = true;
        let of_network = memory.networks.entry(seen.network).or_default();
        let (hostname, vendor) = (said(seen.hostname.as_deref()), said(seen.vendor.as_deref()));
        if let Some(known) = of_network.get_mut(&seen.mac) {
            known.last = now;
            known.count = known.count.saturating_add(1);
            known.hostname = hostname.or(known.hostname.take());
            known.vendor = vendor.or(known.vendor.take());
            return;
        }
        make_room(of_network);
        of_network.insert(
            seen.mac,
            Known {
                hostname,
                vendor,
                first: now,
                last: now,
                count: 1,
            },
        );
    }

    /// Forgets one: it was registered.
    pub(super) fn forget(&self, mac: MacAddress) {
        let mut memory = self.lock();
        for of_network in memory.networks.values_mut() {
            of_network.remove(&mac);
        }
        memory.unwritten = true;
    }

    /// Those that are not registered meanwhile, by network, the last seen first.
    pub(super) fn all(&self, directory: &Directory) -> Vec<(NetworkName, MacAddress, Known)> {
        let mut memory = self.lock();
        memory.forget_registered(directory);
        let mut all: Vec<_> = memory
            .networks
            .iter()
            .flat_map(|(network, known)| {
                known
                    .iter()
                    .map(|(mac, known)| (network.clone(), *mac, known.clone()))
            })
            .collect();
        all.sort_by(|(one, _, first), (other, _, second)| {
            (one, std::cmp::Reverse(first.last)).cmp(&(other, std::cmp::Reverse(second.last)))
        });
        all
    }

    /// The file's new text, when it has another one.
    fn text(&self, directory: &Directory) -> Option<String> {
        let mut memory = self.lock();
        memory.forget_registered(directory);
        std::mem::take(&mut memory.unwritten).then(|| {
            let lines = memory.networks.iter().flat_map(|(network, known)| {
                known.iter().map(move |(mac, known)| line(network, *mac, known))
            });
            lines.collect()
        })
    }

    /// Takes in what an earlier daemon remembered. A line that is none is left out: it was no daemon of this version.
    fn restore(&self, text: &str) {
        let mut memory = self.lock();
        for (network, mac, known) in text.lines().filter_map(parsed) {
            let of_network = memory.networks.entry(network).or_default();
            if let Some(newer) = of_network.get_mut(&mac) {
                newer.first = known.first;
                newer.count = newer.count.saturating_add(known.count);
            } else if of_network.len() < REMEMBERED {
                of_network.insert(mac, known);
            }
        }
    }
}

impl Memory {
    fn forget_registered(&mut self, directory: &Directory) {
        let Self { networks, unwritten } = self;
        for (network, known) in networks.iter_mut() {
            let before = known.len();
            let served = directory.network(network).is_some();
            known.retain(|mac, _| served && directory.vm_by_mac(*mac).is_none());
            *unwritten |= known.len() != before;
        }
    }
}

/// Lets the one go that was not seen for the longest time.
fn make_room(known: &mut BTreeMap<MacAddress, Known>) {
    if known.len() < REMEMBERED {
        return;
    }
    let oldest = known.iter().min_by_key(|(_, known)| known.last);
    if let Some(mac) = oldest.map(|(mac, _)| *mac) {
        known.remove(&mac);
    }
}

/// What of a client's own words is kept: it may send anything.
fn said(text: Option<&str>) -> Option<Box<str>> {
    let plain: String = text?.chars().filter(|c| !c.is_control()).take(SAID).collect();
    (!plain.is_empty()).then(|| plain.into())
}

/// One of them as a line of the file: fields with tabs between them, which none has in it.
fn line(network: &NetworkName, mac: MacAddress, known: &Known) -> String {
    let (mac, first, last) = (mac::text(mac), known.first.0, known.last.0);
    let word = |word: &Option<Box<str>>| word.as_deref().unwrap_or_default().to_owned();
    let (hostname, vendor) = (word(&known.hostname), word(&known.vendor));
    format!(
        "{network}\t{mac}\t{first}\t{last}\t{}\t{hostname}\t{vendor}\n",
        known.count
    )
}

fn parsed(line: &str) -> Option<(NetworkName, MacAddress, Known)> {
    let mut fields = line.split('\t');
    let (network, mac) = (fields.next()?.parse().ok()?, mac::parse(fields.next()?).ok()?);
    let (first, last) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let known = Known {
        first: Timestamp(first),
        last: Timestamp(last),
        count: fields.next()?.parse().ok()?,
        hostname: said(fields.next()),
        vendor: said(fields.next()),
    };
    Some((network, mac, known))
}

/// Keeps the file as the memory is, every few seconds, until it is told to stop.
pub(super) async fn keep(daemon: Arc<Daemon>, stop: CancellationToken) {
    let path = daemon.config.places.discovered();
    match tokio::fs::read_to_string(&path).await {
        Ok(text) => daemon.discovered.restore(&text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(
            "what was discovered before is forgotten: {}: {error}.",
            path.display()
        ),
    }
    loop {
        let last = tokio::select! {
            () = stop.cancelled() => true,
            () = tokio::time::sleep(WRITE_EVERY) => false,
        };
        if let Some(text) = daemon.discovered.text(&daemon.directory()) {
            let path = path.clone();
            // It says who asked for an address: for root only.
            let write = move || export::write_atomically(&path, 0o600, |out| out.write_all(text.as_bytes()));
            match tokio::task::spawn_blocking(write).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::warn!("what was discovered is not kept: {error}."),
                Err(error) => tracing::error!("the writer of what was discovered ended: {error}."),
            }
        }
        if last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::examples;

    fn seen(number: u16) -> Seen {
        let [a, b] = number.to_be_bytes();
        Seen {
            network: "lab".parse().unwrap(),
            mac: MacAddress::new([2, 0, 0, 0, a, b]),
            hostname: None,
            vendor: None,
        }
    }

    fn lab() -> Directory {
        Directory::of([examples::network("lab", "10.77.0.1/24")])
    }

    #[test]
    fn the_memory_is_bounded_and_the_oldest_goes_first() {
        let discovered = Discovered::default();
        for number in 0..3_000 {
            discovered.note(seen(number), Timestamp(u64::from(number)));
            discovered.note(seen(0), Timestamp(u64::from(number)));
        }
        let all = discovered.all(&lab());
        assert_eq!(all.len(), REMEMBERED);
        let (_, mac, known) = all.iter().find(|(_, mac, _)| *mac == seen(0).mac).unwrap();
        assert_eq!(
            (*mac, known.count, known.first),
            (seen(0).mac, 3_001, Timestamp(0))
        );
        assert!(
            all.iter()
                .all(|(_, _, known)| known.last >= Timestamp(3_000 - 1_024))
        );
    }

    #[test]
    fn what_was_seen_outlives_the_daemon() {
        let (before, after) = (Discovered::default(), Discovered::default());
        let client = Seen {
            hostname: Some("nas\t\n\u{1b}[31m".into()),
            vendor: Some("x".repeat(300).into()),
            ..seen(1)
        };
        before.note(client, Timestamp(5));
        before.note(seen(2), Timestamp(7));
        let text = before.text(&lab()).unwrap();
        assert_eq!(before.text(&lab()), None, "nothing changed since");
        after.note(seen(2), Timestamp(9));
        after.restore(&text);
        after.restore("nonsense\nlab\tnot-a-mac\t1\t1\t1\t\t\n");
        let all = after.all(&lab());
        assert_eq!(all.len(), 2);
        let (_, mac, known) = &all[0];
        assert_eq!((*mac, known.first, known.count), (seen(2).mac, Timestamp(7), 2));
        let (_, _, known) = &all[1];
        assert_eq!(known.hostname.as_deref(), Some("nas[31m"));
        assert_eq!(known.vendor.as_deref().map(str::len), Some(SAID));
    }

    #[test]
    fn a_registered_address_is_forgotten() {
        let discovered = Discovered::default();
        let vm = examples::vm("web1", "10.77.0.5");
        let (mac, mut directory) = (vm.mac, lab());
        discovered.note(Seen { mac, ..seen(0) }, Timestamp(1));
        discovered.note(seen(1), Timestamp(1));
        assert_eq!(discovered.all(&directory).len(), 2);
        discovered.forget(seen(1).mac);
        directory.put_vm(Arc::new(vm));
        assert_eq!(discovered.text(&directory).as_deref(), Some(""));
        assert!(discovered.all(&directory).is_empty());
    }
}
