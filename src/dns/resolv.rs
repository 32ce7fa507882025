//! Which servers are asked for names that are not ours: the configured ones, or those of `/etc/resolv.conf`.

use std::net::{IpAddr, SocketAddr};

/// The name servers of a `resolv.conf` text, in order, on port 53. Lines that name no address are skipped.
pub(super) fn name_servers(text: &str) -> Vec<SocketAddr> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            (words.next() == Some("nameserver"))
                .then(|| words.next()?.parse::<IpAddr>().ok())
                .flatten()
        })
        .map(|address| SocketAddr::new(address, 53))
        .collect()
}

/// The servers without those that would bring the question back to us, each once, and at most three of them as in
/// resolv.conf(5).
pub(super) fn without_loops(servers: Vec<SocketAddr>, ours: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut kept = Vec::new();
    for server in servers {
        if !ours.contains(&server) && !server.ip().is_unspecified() && !kept.contains(&server) {
            kept.push(server);
        }
    }
    kept.truncate(3);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_nameserver_lines_with_an_address_count() {
        let text = "# nameserver 1.1.1.1\nsearch lab\nnameserver 192.0.2.1\n nameserver\t2001:db8::1 # x\nnameserver\n\
                    nameserver fe80::1%eth0\nnameservers 192.0.2.9\n";
        let servers = name_servers(text);
        assert_eq!(
            servers,
            [
                "192.0.2.1:53".parse().unwrap(),
                "[2001:db8::1]:53".parse().unwrap()
            ]
        );
    }

    #[test]
    fn a_server_that_is_ourselves_is_dropped() {
        let [ours, other, unspecified]: [SocketAddr; 3] =
            ["10.77.0.1:53", "192.0.2.1:53", "0.0.0.0:53"].map(|text| text.parse().unwrap());
        assert_eq!(
            without_loops(vec![ours, other, other, unspecified], &[ours]),
            [other]
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in ".*") {
            prop_assert!(without_loops(name_servers(&text), &[]).len() <= 3);
        }
    }
}
