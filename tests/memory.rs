//! What 50,000 VMs cost in memory, counted by the allocator: the goal is 25 MiB for the whole daemon.
//!
//! What is counted is what was asked for, so the figures are the same on every machine. One test, because the counter is
//! the whole process's.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that can not go on fails, and says what it measured"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use seedbed::config::Config;
use seedbed::model::{
    Clock, Custom, Directory, Hosting, MacAddress, Revision, SshKeys, TemplateName, Vm, VmName, identity,
};
use seedbed::registry::{Change, NewVm, Registry};

const COUNT: u32 = 50_000;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static ASKED: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, and how much is asked of it.
struct Counting;

#[expect(unsafe_code, reason = "an allocator can not be written without")]
// SAFETY: everything is left to the system's allocator; beside it only numbers change.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        ASKED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on, and `alloc` took it from there.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How much more is held after the work than before, and what the work gave.
fn held<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.load(Ordering::Relaxed);
    let made = work();
    (made, LIVE.load(Ordering::Relaxed) - before)
}

/// How much the work asked for, be it freed or not.
fn asked(work: impl FnOnce()) -> usize {
    let before = ASKED.load(Ordering::Relaxed);
    work();
    ASKED.load(Ordering::Relaxed) - before
}

fn registry(path: &Path) -> Registry {
    let text = "networks:\n- name: lab\n  bridge: br0\n  subnet: 10.64.0.1/12\n  domain: lab\n";
    let config = Config::parse(text, Path::new("config.yaml")).unwrap();
    Registry::open(path, config.networks, Clock).unwrap()
}

fn numbered(number: u32, template: &TemplateName) -> NewVm {
    let [_, a, b, c] = number.to_be_bytes();
    NewVm {
        name: format!("vm{number:06}").parse().unwrap(),
        network: None,
        mac: Some(MacAddress::new([0x52, 0x54, 0, a, b, c])),
        address: Some(Ipv4Addr::from_bits(0x0a40_0100 + number)),
        keys: SshKeys::default(),
        template: template.clone(),
        user_data: None,
        hosting: Hosting::External,
        custom: Custom::default(),
        new_identity: false,
        nics: Vec::new(),
    }
}

#[test]
fn fifty_thousand_vms_cost_little_to_hold_nothing_to_find_and_one_index_to_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.redb");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let template = "default".parse().unwrap();
    let vms = (0..COUNT).map(|number| numbered(number, &template)).collect();
    let first = registry(&path);
    runtime.block_on(first.commit(Change::Register { vms })).unwrap();
    drop(first);

    let (registry, octets) = held(|| registry(&path));
    let directory = registry.read();
    assert_eq!(directory.vm_count(), COUNT as usize);
    let each = octets / COUNT as usize;
    println!("a loaded VM holds {each} octets");
    assert!(each <= 270, "a loaded VM holds {each} octets");

    let wanted: Vec<Arc<Vm>> = directory.each_vm().cloned().collect();
    let absent: VmName = "nobody".parse().unwrap();
    let nothing = asked(|| {
        for vm in &wanted {
            let found = [
                directory.vm(&vm.name),
                directory.vm_named(vm.name.as_str()),
                directory.vm_by_mac(vm.mac),
                directory.vm_at(vm.address),
                directory.vm_behind(&vm.tap),
            ];
            assert!(
                found
                    .iter()
                    .all(|found| found.is_some_and(|found| Arc::ptr_eq(found, vm)))
            );
        }
        assert!(directory.vm(&absent).is_none() && directory.vm_aliased(&absent).is_none());
    });
    assert_eq!(nothing, 0, "looking VMs up asked for {nothing} octets");

    changes(&directory);
}

/// What the next revision's directory asks for, after one change.
fn changes(directory: &Directory) {
    let vm = directory.each_vm().next().unwrap();
    let moved = Arc::new(Vm {
        address: Ipv4Addr::new(10, 79, 0, 1),
        uuid: identity::uuid(&vm.name),
        ..Vm::clone(vm)
    });
    let one = asked(|| {
        let mut next = directory.clone();
        next.put_vm(moved);
        assert_eq!(next.vm_count(), directory.vm_count());
    });
    // Eight octets a slot and five for each of four tables, which are up to half empty.
    let bound = COUNT as usize * 48;
    println!("one changed VM copies {one} octets");
    assert!(one <= bound, "one changed VM asks for {one} octets");

    let other = asked(|| {
        let mut next = directory.clone();
        next.set_revision(Revision(9));
        next.leases_mut();
        next.records_mut();
    });
    println!("one changed lease copies {other} octets");
    assert!(other <= 1024, "a change of no VM asks for {other} octets");
}
