//! What of a VM that runs is another than what its record says: two command lines, compared. Pure.

use super::nics::{self, Card};
use crate::model::Bytes;

/// What would be another after a restart, in words, such as `CPUs` or `disk data`; `running` and `wanted` are command lines of
/// the same VM, and `cards` those that it has behind its ports now, where that is known to be others than at its start. What
/// both a guest and its owner can not tell apart is left out.
pub fn differing(running: &[String], wanted: &[String], cards: Option<&[Card]>) -> Vec<String> {
    let has = cards.map_or_else(|| nics::cards(running), <[_]>::to_vec);
    let wants = nics::cards(wanted);
    let (running, wanted) = (Line(running), Line(wanted));
    let mut words: Vec<String> = Vec::new();
    let mut say = |is: bool, what: &str| {
        if is && !words.iter().any(|word| word == what) {
            words.push(what.to_owned());
        }
    };
    let differs = |option| running.first(option) != wanted.first(option);
    say(differs("-smp"), "CPUs");
    say(needs_memory(running, wanted), "memory");
    say(running.board() != wanted.board(), "machine type");
    let same_accel = running.first("-accel") == wanted.first("-accel");
    say(!same_accel, "accelerator");
    say(same_accel && differs("-cpu"), "CPU model");
    say(differs("-uuid"), "UUID");
    for (one, other) in [(running, wanted), (wanted, running)] {
        for device in one.devices().filter(|device| !other.has(device)) {
            if let Some(name) = disk(device) {
                say(true, &format!("disk {name}"));
            } else if device.starts_with("virtio-net-pci,") && Card::parse(device).is_none() {
                say(true, "NIC");
            }
        }
    }
    let lacks = |cards: &[Card], of: &[Card]| of.iter().any(|card| !cards.contains(card));
    say(lacks(&has, &wants) || lacks(&wants, &has), "NIC");
    let boot = ["-kernel", "-initrd", "-append", "-boot"];
    say(boot.into_iter().any(differs), "boot");
    words
}

/// The memory that a QEMU was started with: its guest can have no more while it runs.
pub fn most_memory(running: &[String]) -> Option<Bytes> {
    let size = Line(running).first("-m")?.strip_prefix("size=")?;
    size.parse().ok()
}

/// Whether it has what memory is given back by.
pub fn has_balloon(running: &[String]) -> bool {
    Line(running)
        .devices()
        .any(|device| device.starts_with("virtio-balloon-pci,"))
}

fn needs_memory(running: Line<'_>, wanted: Line<'_>) -> bool {
    let (most, asked) = (most_memory(running.0), most_memory(wanted.0));
    most < asked || (most > asked && !has_balloon(running.0))
}

/// The name of the disk that a device is. That by which a VM is told about itself is made anew at each start.
fn disk(device: &str) -> Option<&str> {
    let node = device.strip_prefix("virtio-blk-pci,drive=")?.split(',').next()?;
    let node = Some(node).filter(|node| *node != "cidata")?;
    Some(node.strip_prefix("disk-").unwrap_or(node))
}

#[derive(Clone, Copy)]
struct Line<'a>(&'a [String]);

impl<'a> Line<'a> {
    fn all(self, option: &'static str) -> impl Iterator<Item = &'a str> {
        let pairs = self.0.iter().zip(self.0.iter().skip(1));
        pairs
            .filter(move |(name, _)| *name == option)
            .map(|(_, value)| value.as_str())
    }

    fn first(self, option: &'static str) -> Option<&'a str> {
        self.all(option).next()
    }

    fn devices(self) -> impl Iterator<Item = &'a str> {
        self.all("-device")
    }

    fn has(self, device: &str) -> bool {
        self.devices().any(|other| other == device)
    }

    fn board(self) -> Option<&'a str> {
        self.first("-machine")?.split(',').next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    const RUNNING: &str = "qemu -machine pc-q35-7.2,sata=off -accel kvm -cpu host -smp cpus=1 -m size=512M \
        -device virtio-blk-pci,drive=root,serial=root -device virtio-balloon-pci,id=balloon0";

    fn told(wanted: &str) -> Vec<String> {
        differing(&line(RUNNING), &line(wanted), None)
    }

    #[test]
    fn what_runs_as_its_record_says_needs_nothing() {
        assert_eq!(told(RUNNING), [""; 0]);
        let seed = " -device virtio-blk-pci,drive=cidata,serial=cidata";
        assert_eq!(told(&format!("{RUNNING}{seed}")), [""; 0]);
        assert_eq!(most_memory(&line(RUNNING)), Some(Bytes::mib(512)));
        assert_eq!(most_memory(&line("qemu -m 512")), None);
        assert!(has_balloon(&line(RUNNING)) && !has_balloon(&line("qemu")));
    }

    #[test]
    fn what_a_restart_changes_is_named_once() {
        let wanted = "qemu -machine pc-q35-9.0,sata=off -accel kvm -cpu EPYC -smp cpus=2 -m size=1024M \
            -device virtio-blk-pci,drive=root,serial=root -device virtio-blk-pci,drive=disk-data,serial=data \
            -device virtio-balloon-pci,id=balloon0 -kernel /k -initrd /i";
        assert_eq!(
            told(wanted),
            ["CPUs", "memory", "machine type", "CPU model", "disk data", "boot"]
        );
    }

    #[test]
    fn less_memory_needs_a_restart_only_without_a_balloon() {
        let less = RUNNING.replace("512M", "256M");
        assert_eq!(told(&less), [""; 0]);
        let none = RUNNING.replace("virtio-balloon-pci", "virtio-rng-pci");
        assert_eq!(differing(&line(&none), &line(&less), None), ["memory"]);
    }

    #[test]
    fn a_nic_that_came_or_went_meanwhile_is_compared_as_it_is_now() {
        let nic = "virtio-net-pci,id=nic24,netdev=net24,mac=52:54:00:00:00:07,romfile=,bus=port24,addr=0x0";
        let with_nic = line(&format!("{RUNNING} -device {nic}"));
        let (none, card) = (line(RUNNING), Card::parse(nic).unwrap());
        assert_eq!(differing(&none, &with_nic, None), ["NIC"]);
        assert_eq!(differing(&none, &with_nic, Some(&[card])), [""; 0]);
        assert_eq!(differing(&with_nic, &with_nic, None), [""; 0]);
        assert_eq!(differing(&with_nic, &none, Some(&[])), [""; 0]);
        let other = Card { slot: 25, ..card };
        assert_eq!(differing(&with_nic, &with_nic, Some(&[other])), ["NIC"]);
        // On the board itself nothing comes or goes.
        let fixed = "virtio-net-pci,netdev=net24,mac=52:54:00:00:00:07,romfile=,bus=pcie.0,addr=0x18";
        let with_fixed = line(&format!("{RUNNING} -device {fixed}"));
        assert_eq!(differing(&none, &with_fixed, Some(&[])), ["NIC"]);
        assert_eq!(differing(&with_fixed, &with_nic, None), ["NIC"]);
    }

    #[test]
    fn another_accelerator_is_not_another_processor() {
        assert_eq!(
            told(&RUNNING.replace("-accel kvm -cpu host", "-accel tcg -cpu max")),
            ["accelerator"]
        );
    }
}
