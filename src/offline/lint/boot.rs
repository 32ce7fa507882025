//! Whether a clone boots, and whether its serial console shows it.

use super::{Cure, Facts, Finding, Look};

const GRUB: [&str; 2] = ["/boot/grub/grub.cfg", "/boot/grub2/grub.cfg"];
const OTHERS: [(&str, &str); 5] = [
    ("/boot/extlinux/extlinux.conf", "extlinux"),
    ("/boot/extlinux.conf", "extlinux"),
    ("/boot/syslinux/syslinux.cfg", "syslinux"),
    ("/boot/grub/menu.lst", "GRUB (legacy)"),
    ("/etc/lilo.conf", "LILO"),
];
const SYSTEMD: &str = "/etc/systemd/system/getty.target.wants/serial-getty@ttyS0.service";

pub(super) fn loader(look: &Look<'_>) -> Option<String> {
    if GRUB.iter().any(|path| look.exists(path)) {
        return Some("GRUB".to_owned());
    }
    let other = OTHERS.iter().find(|(path, _)| look.exists(path));
    let other = other.map(|(_, name)| (*name).to_owned());
    other.or_else(|| (!entries(look).is_empty()).then(|| "systemd-boot".to_owned()))
}

fn entries(look: &Look<'_>) -> Vec<String> {
    let folders = [
        "/boot/loader/entries",
        "/boot/efi/loader/entries",
        "/efi/loader/entries",
    ];
    let paths = folders.iter().flat_map(|folder| look.within(folder));
    paths.filter(|path| path.ends_with(".conf")).collect()
}

pub(super) fn findings(look: &Look<'_>, facts: &Facts) -> Vec<Finding> {
    let found = [
        no_loader(facts),
        old_disk_names(look),
        console(look, facts),
        getty(look, facts),
    ];
    found.into_iter().flatten().collect()
}

fn no_loader(facts: &Facts) -> Option<Finding> {
    if facts.boot_loader.is_some() {
        return None;
    }
    Some(
        Finding::new(
            "boot-loader",
            "no configuration of a boot loader",
            vec!["/boot".to_owned()],
            "a clone does not boot from its disk",
        )
        .left("install GRUB (`grub-install`, `update-grub`), or add the image with --kernel and --initrd"),
    )
}

/// Configurations that say what the kernel is started with.
fn command_lines(look: &Look<'_>) -> Vec<(String, String)> {
    let others = OTHERS.iter().map(|(path, _)| *path);
    let paths = GRUB.into_iter().chain(others).chain(["/boot/grub2/grubenv"]);
    paths
        .map(str::to_owned)
        .chain(entries(look))
        .filter_map(|path| look.text(&path).map(|text| (path, text)))
        .collect()
}

/// Disks by the names of another machine's controllers: a clone's are `/dev/vda`, and may move.
fn old_disk_names(look: &Look<'_>) -> Option<Finding> {
    let old = |word: &str| {
        let name = word.strip_prefix("root=").unwrap_or(word);
        ["/dev/sd", "/dev/hd", "/dev/xvd"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
    };
    let fstab = look.text("/etc/fstab").unwrap_or_default();
    let in_fstab = fstab
        .lines()
        .filter(|line| !line.contains("noauto") && !line.contains("nofail"))
        .filter_map(|line| line.split_whitespace().next())
        .any(old);
    let mut paths: Vec<_> = command_lines(look)
        .into_iter()
        .filter(|(_, text)| {
            text.split_whitespace()
                .any(|word| word.starts_with("root=") && old(word))
        })
        .map(|(path, _)| path)
        .collect();
    if in_fstab {
        paths.push("/etc/fstab".to_owned());
    }
    if paths.is_empty() {
        return None;
    }
    Some(
        Finding::new(
            "disk-names",
            "disks by the names of another machine (/dev/sda)",
            paths,
            "a clone's disk is /dev/vda: it does not find its root file system, or waits for one that is not there",
        )
        .left("name them by UUID: `blkid` shows it, `update-grub` writes it"),
    )
}

fn console(look: &Look<'_>, facts: &Facts) -> Option<Finding> {
    facts.boot_loader.as_ref()?;
    let lines = command_lines(look);
    if lines.iter().any(|(_, text)| text.contains("console=ttyS")) || lines.is_empty() {
        return None;
    }
    Some(
        Finding::new(
            "serial-console",
            "a kernel that does not speak on the serial port",
            lines.into_iter().map(|(path, _)| path).take(3).collect(),
            "`seedbed console` and `seedbed log` show nothing of a clone's boot",
        )
        .left("add console=ttyS0,115200 to GRUB_CMDLINE_LINUX in /etc/default/grub, and run `update-grub`"),
    )
}

fn getty(look: &Look<'_>, facts: &Facts) -> Option<Finding> {
    let why = "nobody can log in at `seedbed console`";
    if facts.systemd.is_some() {
        // systemd-getty-generator makes one for each console of the kernel's command line.
        let spoken = command_lines(look)
            .iter()
            .any(|(_, text)| text.contains("console=ttyS0"));
        let enabled = look.root.status(SYSTEMD).ok().flatten().is_some();
        if spoken || enabled {
            return None;
        }
        let units = ["/usr/lib/systemd/system", "/lib/systemd/system"]
            .map(|dir| format!("{dir}/serial-getty@.service"));
        let unit = units.into_iter().find(|unit| look.exists(unit))?;
        let finding = Finding::new(
            "serial-getty",
            "no login on the serial port",
            vec![SYSTEMD.to_owned()],
            why,
        );
        let cure = Cure::Link {
            path: SYSTEMD.to_owned(),
            target: unit,
        };
        return Some(finding.cured("enables serial-getty@ttyS0", cure));
    }
    let path = "/etc/inittab";
    let inittab = look.text(path)?;
    let has = |line: &str| !line.starts_with('#') && line.contains("ttyS0");
    if inittab.lines().any(has) {
        return None;
    }
    let getty = ["/sbin/agetty", "/sbin/getty"]
        .into_iter()
        .find(|getty| look.exists(getty))?;
    // BusyBox's init has no runlevels, and takes the first field for the terminal.
    let line = if inittab.contains("::respawn:") {
        format!("ttyS0::respawn:{getty} -L 115200 ttyS0 vt100\n")
    } else {
        format!("T0:23:respawn:{getty} -L 115200 ttyS0 vt100\n")
    };
    let text = inittab.trim_end().to_owned() + "\n" + &line;
    Some(
        Finding::new(
            "serial-getty",
            "no login on the serial port",
            vec![path.to_owned()],
            why,
        )
        .cured("adds one to inittab", Cure::Write(vec![(path.to_owned(), text)])),
    )
}
