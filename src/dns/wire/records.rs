//! Our records as hickory's.

use hickory_proto::rr::rdata::sshfp::{Algorithm, FingerprintType};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, HINFO, MX, NS, PTR, SOA, SRV, SSHFP, TXT};
use hickory_proto::rr::{Name, RData, Record};

use crate::dns::data::{Authority, Data, Soa};

/// A name of ours; the root when it is none, which the model's rules for names exclude.
pub(super) fn name(text: &str) -> Name {
    Name::from_labels(text.split('.').map(str::as_bytes)).unwrap_or_else(|_| Name::root())
}

pub(super) fn start(authority: Authority) -> Record {
    let ttl = authority.soa.minimum;
    Record::from_rdata(name(&authority.zone), ttl, rdata(Data::Soa(authority.soa)))
}

pub(super) fn rdata(data: Data) -> RData {
    match data {
        Data::A(address) => RData::A(A(address)),
        Data::Aaaa(address) => RData::AAAA(AAAA(address)),
        Data::Ptr(target) => RData::PTR(PTR(name(&target))),
        Data::Ns(target) => RData::NS(NS(name(&target))),
        Data::Cname(target) => RData::CNAME(CNAME(name(&target))),
        Data::Mx { preference, exchange } => RData::MX(MX::new(preference, name(&exchange))),
        Data::Srv {
            priority,
            weight,
            port,
            target,
        } => RData::SRV(SRV::new(priority, weight, port, name(&target))),
        Data::Txt(strings) => RData::TXT(TXT::from_bytes(strings.iter().map(AsRef::as_ref).collect())),
        Data::Sshfp(print) => RData::SSHFP(SSHFP::new(
            Algorithm::from(print.algorithm),
            FingerprintType::SHA256,
            print.sha256.to_vec(),
        )),
        Data::Minimal => RData::HINFO(HINFO::new("RFC8482".to_owned(), String::new())),
        Data::Soa(Soa {
            server,
            mailbox,
            serial,
            minimum,
        }) => RData::SOA(SOA::new(
            name(&server),
            name(&mailbox),
            serial,
            Soa::REFRESH.cast_signed(),
            Soa::RETRY.cast_signed(),
            Soa::EXPIRE.cast_signed(),
            minimum,
        )),
    }
}
