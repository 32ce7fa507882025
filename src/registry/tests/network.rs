//! The rules for what is on the wire beside VMs: leases, DNS records, aliases, and networks that are not all ours.

use super::rules::{after, effect, refusal};
use super::*;
use crate::model::dhcp::{DhcpMode, Relay};
use crate::model::record::RecordData;
use crate::model::{DnsRecord, FirstBoot, Lease, LeaseState, MacAddress, NetBoot};
use crate::registry::CustomEdit;
use crate::registry::change::Edit;
use crate::registry::refusal::{RecordConflict, Refusal};

fn lease(mac: u8, address: &str, expires: u64) -> Lease {
    Lease {
        network: "lab".parse().unwrap(),
        mac: MacAddress::new([2, 0, 0, 0, 0, mac]),
        address: ip(address),
        state: LeaseState::Bound,
        since: NOW,
        expires: Timestamp(expires),
        hostname: Some("nas".into()),
    }
}

fn lend(leases: impl IntoIterator<Item = Lease>) -> Change {
    Change::Lend {
        leases: leases.into_iter().collect(),
    }
}

fn record(owner: &str, kind: &str, value: &str) -> Change {
    let domain = "lab".parse().unwrap();
    Change::AddRecord(DnsRecord {
        network: "lab".parse().unwrap(),
        owner: owner.parse().unwrap(),
        data: RecordData::parse(kind, value, &domain).unwrap(),
    })
}

fn aliased(text: &str, aliases: &[&str]) -> NewVm {
    NewVm {
        custom: Custom {
            aliases: aliases.iter().map(|alias| name(alias)).collect(),
            ..Custom::default()
        },
        ..new(text)
    }
}

const LATER: u64 = NOW.0 + 3_600;

#[test]
fn only_what_is_nobodys_is_lent() {
    let directory = after([register([new("web1")])]);
    let web1 = directory.vm_named("web1").unwrap();
    let of_a_vm = lease(1, &web1.address.to_string(), LATER);
    let to_a_vm = Lease {
        mac: web1.mac,
        ..lease(1, "10.77.0.15", LATER)
    };
    let outside = lease(2, "10.99.0.15", LATER);
    let fine = lease(3, "10.77.0.15", LATER);
    let second = lease(4, "10.77.0.15", LATER);
    let done = effect(
        &directory,
        lend([of_a_vm, to_a_vm, outside, fine.clone(), second.clone()]),
    );
    assert_eq!(done.batch.put_leases.len(), 1);
    let lent = done.batch.on(&directory);
    assert_eq!(lent.leases().at(fine.address).unwrap().mac, fine.mac);
    assert!(
        effect(&lent, lend([second.clone()])).batch.is_empty(),
        "it is another's"
    );
    let after_it_ran_out = Lease {
        since: Timestamp(LATER + 1),
        expires: Timestamp(LATER + 100),
        ..second
    };
    assert!(!effect(&lent, lend([after_it_ran_out])).batch.is_empty());
}

#[test]
fn of_one_client_the_last_word_in_a_batch_counts() {
    let directory = after([lend([lease(1, "10.77.0.10", LATER)])]);
    let lent = |words: Vec<Lease>| effect(&directory, lend(words)).batch.on(&directory);
    // It gives back in the same breath what it was lent.
    let (asked, released) = (lease(2, "10.77.0.15", LATER), lease(2, "10.77.0.15", NOW.0));
    let after = lent(vec![asked.clone(), released.clone()]);
    assert_eq!(**after.leases().at(asked.address).unwrap(), released);
    // It takes another address instead: the former one, and the one it had, are free.
    let instead = lease(1, "10.77.0.16", LATER);
    let words = vec![lease(1, "10.77.0.15", LATER), instead.clone()];
    let done = effect(&directory, lend(words));
    assert_eq!(done.batch.put_leases.len(), 1);
    assert_eq!(done.batch.removed_leases, [ip("10.77.0.10")]);
    assert_eq!(
        **done.batch.on(&directory).leases().iter().next().unwrap(),
        instead
    );
    // What it declined stays declined.
    let declined = Lease {
        state: LeaseState::Declined,
        ..lease(2, "10.77.0.15", LATER)
    };
    let after = lent(vec![asked, declined.clone(), lease(2, "10.77.0.16", LATER)]);
    assert_eq!(**after.leases().at(declined.address).unwrap(), declined);
    assert_eq!(after.leases().iter().len(), 3);
}

#[test]
fn a_reservation_beats_a_lease_and_is_not_chosen_under_one() {
    let directory = after([lend([lease(1, "10.77.0.10", LATER)])]);
    let done = effect(&directory, register([new("web1")]));
    assert_eq!(
        done.vms[0].address,
        ip("10.77.0.11"),
        "the lowest that nobody has"
    );
    let named = NewVm {
        address: Some(ip("10.77.0.10")),
        ..new("web2")
    };
    let done = effect(&directory, register([named]));
    assert_eq!(done.batch.removed_leases, [ip("10.77.0.10")]);
    let adopted = NewVm {
        mac: Some(MacAddress::new([2, 0, 0, 0, 0, 1])),
        ..new("web3")
    };
    let done = effect(&directory, register([adopted]));
    assert_eq!(
        done.batch.removed_leases,
        [ip("10.77.0.10")],
        "a VM has no lease beside"
    );
}

#[test]
fn a_name_is_a_vms_an_alias_or_a_record_and_never_two_of_them() {
    let directory = after([
        register([aliased("web1", &["www"])]),
        record("mail", "A", "10.77.0.200"),
        record("ftp", "CNAME", "web1"),
    ]);
    for taken in ["www", "mail", "ftp"] {
        let refused = refusal(&directory, register([new(taken)]));
        assert!(
            matches!(refused, Refusal::AliasTaken { .. }),
            "{taken}: {refused}"
        );
        let refused = refusal(&directory, register([aliased("web2", &[taken])]));
        assert!(
            matches!(refused, Refusal::AliasTaken { .. }),
            "{taken}: {refused}"
        );
    }
    for (owner, kind) in [("web1", "A"), ("www", "TXT"), ("web1", "CNAME")] {
        let value = if kind == "A" { "10.77.0.9" } else { "x" };
        let refused = refusal(&directory, record(owner, kind, value));
        assert!(
            matches!(
                refused,
                Refusal::Record {
                    why: RecordConflict::Vm(_),
                    ..
                }
            ),
            "{refused}"
        );
    }
    for (owner, kind, value) in [
        ("ftp", "TXT", "x"),
        ("mail", "CNAME", "web1"),
        ("@", "CNAME", "web1"),
    ] {
        let refused = refusal(&directory, record(owner, kind, value));
        assert!(
            matches!(refused, Refusal::Record { .. }),
            "{owner} {kind}: {refused}"
        );
    }
    drop(effect(&directory, record("web1", "TXT", "beside its address")));
    let own = refusal(&directory, register([aliased("web3", &["web3"])]));
    assert!(matches!(own, Refusal::AliasTaken { .. }));
}

#[test]
fn an_alias_goes_with_its_vm_and_a_record_by_its_value() {
    let directory = after([
        register([aliased("web1", &["www"])]),
        record("@", "MX", "10 mail"),
        record("@", "TXT", "x"),
    ]);
    let edit = Edit {
        custom: CustomEdit {
            aliases: Some(vec![name("w3")]),
            ..CustomEdit::default()
        },
        ..Edit::default()
    };
    let change = Change::Update {
        names: vec![name("web1")],
        edit: Box::new(edit),
    };
    let changed = effect(&directory, change).batch.on(&directory);
    assert!(changed.vm_aliased(&name("www")).is_none() && changed.vm_aliased(&name("w3")).is_some());
    let remove = |kind: Option<&str>, value: Option<&str>| Change::RemoveRecords {
        network: "lab".parse().unwrap(),
        owner: "@".parse().unwrap(),
        kind: kind.map(str::to_owned),
        value: value.map(str::to_owned),
    };
    let left = effect(&changed, remove(Some("mx"), Some("10 mail.lab.")))
        .batch
        .on(&changed);
    assert_eq!(left.records().iter().count(), 1);
    let refused = refusal(&left, remove(Some("MX"), None));
    assert!(refused.is_not_found(), "{refused}");
    assert_eq!(
        effect(&left, remove(None, None))
            .batch
            .on(&left)
            .records()
            .iter()
            .count(),
        0
    );
}

#[test]
fn where_another_gives_the_addresses_or_has_the_bridge_no_vm_of_ours_runs() {
    let mut proxy = lab();
    proxy.dhcp.mode = DhcpMode::Proxy;
    let mut rack = lab();
    rack.dhcp.relay = Some(Relay {
        server: ip("192.0.2.1"),
        agents: vec![ip("192.0.2.2")],
    });
    for network in [proxy, rack] {
        let empty = Directory::of([network]);
        let with_image = effect(&empty, put_image(image("debian-12"))).batch.on(&empty);
        let refused = refusal(&with_image, register([managed("web1", "debian-12")]));
        assert!(
            matches!(refused, Refusal::Proxied { .. } | Refusal::Relayed { .. }),
            "{refused}"
        );
        let boots = NewVm {
            custom: Custom {
                boot: Some(NetBoot::Image("debian-12".parse().unwrap())),
                ..Custom::default()
            },
            ..new("web2")
        };
        let refused = refusal(&with_image, register([boots]));
        assert!(
            refused.to_string().contains("give the URL of a script"),
            "{refused}"
        );
        drop(effect(&with_image, register([new("web3")])));
    }
}

#[test]
fn an_image_that_is_booted_from_the_network_stays() {
    let mut kernel = image("netboot");
    kernel.boot = Boot::Kernel {
        initrd: true,
        cmdline: String::new(),
    };
    let boots = NewVm {
        custom: Custom {
            boot: Some(NetBoot::Image("netboot".parse().unwrap())),
            ..Custom::default()
        },
        ..new("pxe1")
    };
    let directory = after([put_image(kernel.clone()), register([boots])]);
    let refused = refusal(&directory, remove_image("netboot@1"));
    assert!(matches!(refused, Refusal::ImageInUse { .. }), "{refused}");
    kernel.boot = Boot::Disk;
    let refused = refusal(&directory, put_image(kernel));
    assert!(matches!(refused, Refusal::NoKernel { .. }), "{refused}");
}

#[tokio::test]
async fn leases_records_and_settings_come_back_as_they_were() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.redb");
    let registry = opened(&path, vec![lab()]);
    let mut vm = aliased("web1", &["www", "ftp"]);
    vm.custom.dhcp.mtu = Some(1400);
    vm.custom.dhcp.options = vec!["150: ip 10.77.0.5".parse().unwrap()];
    vm.custom.dhcp.routes = vec![crate::model::Route::parse("192.168.0.0/16", "10.77.0.9").unwrap()];
    vm.custom.boot = Some("http://10.77.0.5/boot.ipxe".parse().unwrap());
    let declined = Lease {
        state: LeaseState::Declined,
        ..lease(2, "10.77.0.16", LATER)
    };
    for change in [
        register([vm]),
        lend([lease(1, "10.77.0.15", LATER), declined]),
        record("_sip._tcp", "SRV", "0 5 5060 web1"),
        record("@", "TXT", "v=spf1 -all"),
        record("v6", "AAAA", "2001:db8::5"),
    ] {
        registry.commit(change).await.unwrap();
    }
    let before = registry.read();
    drop(registry);
    let after = opened(&path, vec![lab()]).read();
    assert_eq!(after.revision(), before.revision());
    assert!(after.vms().eq(before.vms()));
    assert_eq!(after.leases(), before.leases());
    assert_eq!(after.records(), before.records());
    assert_eq!(
        (after.leases().iter().len(), after.records().iter().count()),
        (2, 3)
    );
    assert_eq!(
        after.vm_aliased(&name("www")).unwrap().dhcp().unwrap().mtu,
        Some(1400)
    );
}

#[tokio::test]
async fn leases_and_images_leave_the_names_at_their_revision() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.redb");
    let registry = opened(&path, vec![lab()]);
    let told = FirstBoot {
        at: NOW,
        host_keys: Vec::new().into(),
    };
    let renamed = Change::Update {
        names: vec![name("web1")],
        edit: Box::new(Edit {
            address: Some(ip("10.77.0.12")),
            ..Edit::default()
        }),
    };
    for (change, names_change) in [
        (register([new("web1"), new("web2")]), true),
        (lend([lease(1, "10.77.0.15", LATER)]), false),
        (put_image(image("base")), false),
        (record("@", "TXT", "v=spf1 -all"), true),
        (renamed, true),
        (
            Change::EndLeases {
                addresses: vec![ip("10.77.0.15")],
            },
            false,
        ),
        (
            Change::FirstBoot {
                name: name("web1"),
                first_boot: told,
            },
            true,
        ),
        (
            Change::Delete {
                names: vec![name("web1")],
            },
            true,
        ),
    ] {
        let before = registry.read();
        registry.commit(change.clone()).await.unwrap();
        let after = registry.read();
        assert!(after.revision() > before.revision(), "{change:?}");
        let changed = after.names_revision() > before.names_revision();
        assert_eq!(changed, names_change, "{change:?}");
        assert!(!changed || after.names_revision() == after.revision());
    }
    registry
        .commit(lend([lease(1, "10.77.0.15", LATER)]))
        .await
        .unwrap();
    let before = registry.read().names_revision();
    drop(registry);
    // A secondary server may have seen the former number: it never goes back.
    assert!(opened(&path, vec![lab()]).read().names_revision() >= before);
}
