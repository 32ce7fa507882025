//! What a server remembers between packets: addresses it has just offered, and what it has already raised alarm about.
//!
//! All of it may be lost at any time. An offer that is forgotten is still acknowledged when its address is free; it is
//! remembered so that of a thousand new clients at once no two are offered one address.

use std::collections::{HashMap, VecDeque};
use std::net::Ipv4Addr;

use crate::model::{MacAddress, NetworkName, Timestamp};

/// How long an offered address is kept for the client: guests ask for it within a second, slow firmware within ten.
const HOLD: u64 = 60;
/// How many offers are remembered; the oldest is forgotten first.
const MOST: usize = 8192;
/// An alarm is not raised again for this long.
const QUIET: u64 = 60;

/// How often a client's word that an address is another's counts, in so many seconds.
const MOST_DECLINES: u8 = 4;
const COUNTED: u64 = 3600;

/// The memory of one interface's server.
#[derive(Debug, Default)]
pub struct Offers {
    by_address: HashMap<Ipv4Addr, (MacAddress, Timestamp)>,
    by_client: HashMap<MacAddress, Ipv4Addr>,
    /// The offers in the order they were made.
    made: VecDeque<(Ipv4Addr, Timestamp)>,
    /// Where the search for an address that was never used goes on, by network.
    searches: HashMap<NetworkName, Search>,
    /// When a client's alarm was raised last.
    alarms: HashMap<MacAddress, Timestamp>,
    /// How often a client has declined an address, and since when that is counted.
    declines: HashMap<MacAddress, (u8, Timestamp)>,
    /// When old declines were last looked for.
    declines_swept: Timestamp,
}

/// How far the search for free addresses of one network has come.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// The address tried last.
    pub(super) at: Option<Ipv4Addr>,
    /// How many addresses had an owner or had had one when none was left that never had.
    pub(super) used_up: Option<usize>,
    /// When nothing at all was found.
    pub(super) barren: Option<Timestamp>,
    /// When the alarm about that was raised.
    pub(super) alarm: Option<Timestamp>,
    /// Addresses whose leases had run out when they were looked for, the best first.
    pub(super) expired: VecDeque<Ipv4Addr>,
}

impl Offers {
    /// Keeps an address for a client; one it was offered before is free again.
    pub(super) fn make(&mut self, mac: MacAddress, address: Ipv4Addr, now: Timestamp) {
        self.forget(mac);
        while let Some((oldest, until)) = self.made.front().copied() {
            if until >= now && self.made.len() < MOST {
                break;
            }
            self.made.pop_front();
            self.expire(oldest, until);
        }
        let until = Timestamp(now.0.saturating_add(HOLD));
        if let Some((other, _)) = self.by_address.insert(address, (mac, until)) {
            self.by_client.remove(&other);
        }
        self.by_client.insert(mac, address);
        self.made.push_back((address, until));
    }

    /// Forgets the offer of an address, unless it was renewed since.
    fn expire(&mut self, address: Ipv4Addr, until: Timestamp) {
        if let Some((mac, held)) = self.by_address.get(&address).copied()
            && held == until
        {
            self.by_address.remove(&address);
            self.by_client.remove(&mac);
        }
    }

    /// What the client was offered lately.
    pub(super) fn of(&self, mac: MacAddress, now: Timestamp) -> Option<Ipv4Addr> {
        let address = *self.by_client.get(&mac)?;
        (self.holder(address, now) == Some(mac)).then_some(address)
    }

    /// Who the address was offered to lately.
    pub(super) fn holder(&self, address: Ipv4Addr, now: Timestamp) -> Option<MacAddress> {
        let (mac, until) = *self.by_address.get(&address)?;
        (until >= now).then_some(mac)
    }

    /// Forgets the client's offer.
    pub(super) fn forget(&mut self, mac: MacAddress) {
        if let Some(address) = self.by_client.remove(&mac) {
            self.by_address.remove(&address);
        }
    }

    /// The search of a network.
    pub(super) fn search(&mut self, network: &NetworkName) -> &mut Search {
        self.searches.entry(network.clone()).or_default()
    }

    /// Whether an alarm about the client is due, which this counts as raising it.
    pub(super) fn alarm(&mut self, mac: MacAddress, now: Timestamp) -> bool {
        let quiet = |raised: &Timestamp| now.0.abs_diff(raised.0) < QUIET;
        if self.alarms.get(&mac).is_some_and(quiet) {
            return false;
        }
        // To look for the old ones would cost a flood of names as much as thousands of answers each time; to raise some
        // alarms twice is no harm.
        if self.alarms.len() >= MOST {
            self.alarms.clear();
        }
        self.alarms.insert(mac, now);
        true
    }
}

impl Offers {
    /// Whether a client's word still counts that an address is another's, which this counts as one time more.
    pub(super) fn may_decline(&mut self, mac: MacAddress, now: Timestamp) -> bool {
        let recent = |since: Timestamp| now.0.abs_diff(since.0) < COUNTED;
        if self.declines.len() >= MOST && !self.declines.contains_key(&mac) {
            // Not for each of a flood of clients.
            if now.0.abs_diff(self.declines_swept.0) >= QUIET {
                self.declines_swept = now;
                self.declines.retain(|_, (_, since)| recent(*since));
            }
            if self.declines.len() >= MOST {
                return false;
            }
        }
        let (count, since) = self.declines.entry(mac).or_insert((0, now));
        if !recent(*since) {
            (*count, *since) = (0, now);
        }
        *count = count.saturating_add(1);
        *count <= MOST_DECLINES
    }
}

impl Search {
    /// Whether the alarm that no address is left is due, which this counts as raising it.
    pub(super) fn exhausted(&mut self, now: Timestamp) -> bool {
        self.barren = Some(now);
        let due = self
            .alarm
            .is_none_or(|raised| now.0.abs_diff(raised.0) >= QUIET * 60);
        if due {
            self.alarm = Some(now);
        }
        due
    }
}

#[cfg(test)]
impl Offers {
    /// How many entries all its tables have.
    pub(super) fn size(&self) -> usize {
        [
            self.by_address.len(),
            self.by_client.len(),
            self.made.len(),
            self.alarms.len(),
            self.declines.len(),
        ]
        .iter()
        .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u32) -> MacAddress {
        let [a, b, c, d] = number.to_be_bytes();
        MacAddress::new([2, 0, a, b, c, d])
    }

    fn address(number: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(0x0a4d_0000 + number)
    }

    #[test]
    fn an_offer_holds_for_a_minute_and_for_one_client() {
        let mut offers = Offers::default();
        offers.make(client(1), address(9), Timestamp(100));
        assert_eq!(offers.of(client(1), Timestamp(160)), Some(address(9)));
        assert_eq!(offers.holder(address(9), Timestamp(160)), Some(client(1)));
        assert_eq!(offers.of(client(1), Timestamp(161)), None);
        assert_eq!(offers.holder(address(9), Timestamp(161)), None);
    }

    #[test]
    fn a_client_has_one_offer() {
        let mut offers = Offers::default();
        offers.make(client(1), address(9), Timestamp(100));
        offers.make(client(1), address(8), Timestamp(100));
        assert_eq!(offers.holder(address(9), Timestamp(100)), None);
        assert_eq!(offers.of(client(1), Timestamp(100)), Some(address(8)));
        offers.forget(client(1));
        assert_eq!(offers.holder(address(8), Timestamp(100)), None);
    }

    #[test]
    fn d22_a_flood_of_clients_is_remembered_in_bounded_memory_and_time() {
        const CLIENTS: u32 = 1_000_000;
        let mut offers = Offers::default();
        for number in 0..CLIENTS {
            offers.make(client(number), address(number % 60_000), Timestamp(100));
            offers.alarm(client(number), Timestamp(100));
            offers.may_decline(client(number), Timestamp(100));
        }
        let sizes = [
            offers.by_address.len(),
            offers.by_client.len(),
            offers.made.len(),
            offers.alarms.len(),
            offers.declines.len(),
        ];
        assert!(sizes.iter().all(|size| *size <= MOST), "{sizes:?}");
        let last = CLIENTS - 1;
        assert_eq!(
            offers.of(client(last), Timestamp(100)),
            Some(address(last % 60_000))
        );
        assert!(!offers.alarm(client(last), Timestamp(159)));
        assert!(offers.alarm(client(last), Timestamp(160)));
    }
}
