//! Asks our own DNS server, over the wire, what it says of VMs: what guests hear, not what the registry means.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

use super::verdict::Seen;
use crate::dns::inquiry::{self, Told};
use crate::model::{Network, Vm};
use crate::net::Letter;
use crate::net::inquiry::ask;

/// What is wrong with the names of each of these VMs of one network, by address.
pub(super) async fn asked(
    network: &Network,
    vms: &[&Vm],
) -> io::Result<HashMap<Ipv4Addr, Seen<Vec<String>>>> {
    let server = SocketAddr::from((network.subnet.gateway(), 53));
    let fqdn = |vm: &Vm| format!("{}.{}", vm.name, network.domain);
    // Two letters a VM: which is which is told by their place.
    let mut letters = Vec::with_capacity(2 * vms.len());
    for (number, vm) in (0_u16..).step_by(2).zip(vms) {
        let questions = [
            inquiry::for_address(number, &fqdn(vm)),
            inquiry::for_name(number + 1, vm.address),
        ];
        letters.extend(questions.into_iter().map(|question| Letter {
            to: server.into(),
            bytes: question.unwrap_or_default(),
        }));
    }
    let mut answers: Vec<Option<Told>> = vec![None; letters.len()];
    let hear = |datagram: crate::net::Datagram<'_>| {
        let told = inquiry::told(datagram.bytes).filter(|_| datagram.source.internet() == Some(server))?;
        let number = usize::from(told.id);
        *answers.get_mut(number)? = Some(told);
        Some(number)
    };
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind(&SocketAddr::from((network.subnet.gateway(), 0)).into())?;
    ask(socket, &letters, hear).await?;
    let of_each = answers.chunks_exact(2).zip(vms).map(|(told, vm)| {
        let seen = match told {
            [Some(address), Some(name)] => Seen::Answered(wrong((&fqdn(vm), vm.address), address, name)),
            _ => Seen::Silent,
        };
        (vm.address, seen)
    });
    Ok(of_each.collect())
}

/// What differs from what is registered, a sentence each.
fn wrong((fqdn, address): (&str, Ipv4Addr), by_name: &Told, by_address: &Told) -> Vec<String> {
    let differs = |asked: &str, told: &Told, expected: &str| {
        let said = match told.values.as_slice() {
            [only] if only.eq_ignore_ascii_case(expected) => return None,
            [] if told.is_known => "no such record".to_owned(),
            [] => "no such name".to_owned(),
            others => others.join(" "),
        };
        Some(format!("DNS says `{said}` of {asked}"))
    };
    let address = address.to_string();
    [
        differs(fqdn, by_name, &address),
        differs(&address, by_address, fqdn),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(values: &[&str]) -> Told {
        Told {
            id: 0,
            values: values.iter().map(|value| (*value).to_owned()).collect(),
            is_known: !values.is_empty(),
        }
    }

    #[test]
    fn what_dns_says_otherwise_is_told_with_its_words() {
        let web1 = ("web1.lab", Ipv4Addr::new(10, 77, 0, 5));
        let right = wrong(web1, &told(&["10.77.0.5"]), &told(&["Web1.Lab"]));
        assert_eq!(right, [""; 0]);
        let other = wrong(web1, &told(&["10.77.0.9"]), &told(&[]));
        assert_eq!(
            other,
            [
                "DNS says `10.77.0.9` of web1.lab",
                "DNS says `no such name` of 10.77.0.5"
            ]
        );
    }
}
