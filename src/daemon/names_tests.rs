//! Names while the registry changes under the questions: what is asked is answered from one whole revision.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::dns::answer::{Answer, Data, Kind, Question, answer};
use crate::dns::zone::QueryName;
use crate::model::{Clock, Custom, Directory, Hosting, Network, Vm, examples};
use crate::registry::{Change, NewVm, Registry};

const VMS: usize = 10_000;
/// Each commit registers so many, so that there are many revisions in between.
const AT_ONCE: usize = 50;

fn new(name: &str) -> NewVm {
    NewVm {
        name: name.parse().unwrap(),
        network: None,
        mac: None,
        address: None,
        keys: Vec::new().into(),
        template: "default".parse().unwrap(),
        user_data: None,
        hosting: Hosting::External,
        custom: Custom::default(),
        new_identity: false,
        nics: Vec::new(),
    }
}

fn asked(directory: &Directory, network: &Network, name: &str, kind: Kind) -> Answer {
    let question = Question {
        name: QueryName::of(name.split('.').map(str::as_bytes)),
        kind,
        internet: true,
        recursion_desired: false,
        source: IpAddr::V4(network.subnet.gateway()),
        by_stream: false,
        serial: None,
    };
    answer(directory, network, &question).answer
}

/// A VM is found by its name and by its address, or by neither.
fn is_whole(directory: &Directory, network: &Network, vm: &Vm) -> bool {
    let reverse = vm.address.octets().map(|octet| octet.to_string());
    let reverse = format!(
        "{}.{}.{}.{}.in-addr.arpa",
        reverse[3], reverse[2], reverse[1], reverse[0]
    );
    let full = format!("{}.{}", vm.name, network.domain);
    let found = asked(directory, network, &full, Kind::A);
    let named = asked(directory, network, &reverse, Kind::Ptr);
    if directory.vm(&vm.name).is_some() {
        found == Answer::Records(vec![Data::A(vm.address)]) && named == Answer::Records(vec![Data::Ptr(full)])
    } else {
        matches!((found, named), (Answer::NxDomain(_), Answer::NxDomain(_)))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn n17_while_ten_thousand_are_registered_every_answer_is_of_one_revision() {
    let folder = tempfile::tempdir().unwrap();
    let network = examples::network("lab", "10.64.0.1/16");
    let path = folder.path().join("registry.redb");
    let registry = Registry::open(&path, vec![network.clone()], Clock).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let storms: Vec<_> = (0..2)
        .map(|storm| {
            let (published, network) = (registry.published(), network.clone());
            let done = Arc::clone(&done);
            tokio::task::spawn_blocking(move || {
                let (mut questions, mut revisions) = (0_usize, 0_usize);
                let mut last = Arc::new(Directory::of([network.clone()]));
                while !done.load(Ordering::Relaxed) {
                    let directory = published.load_full();
                    revisions += usize::from(directory.revision() != last.revision());
                    assert!(directory.revision() >= last.revision());
                    // VMs of this revision, asked of the one before as well.
                    for vm in directory
                        .each_vm()
                        .skip(questions % 97)
                        .step_by(97)
                        .take(20 + storm)
                    {
                        assert!(is_whole(&directory, &network, vm), "{}", vm.name);
                        assert!(is_whole(&last, &network, vm), "{}", vm.name);
                        questions += 4;
                    }
                    last = directory;
                }
                (questions, revisions)
            })
        })
        .collect();
    let names: Vec<String> = (0..VMS).map(|number| format!("vm{number}")).collect();
    for some in names.chunks(AT_ONCE) {
        let vms = some.iter().map(|name| new(name)).collect();
        registry.commit(Change::Register { vms }).await.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    for storm in storms {
        let (questions, revisions) = storm.await.unwrap();
        assert!(
            questions > VMS && revisions > 20,
            "{questions} questions at {revisions} revisions"
        );
    }
    assert_eq!(registry.read().vm_count(), VMS);
}
