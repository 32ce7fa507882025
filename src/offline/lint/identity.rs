//! What makes one machine tell itself from another, and so must not be in two.

use super::{Cure, Facts, Finding, Look};

pub(super) fn findings(look: &Look<'_>, facts: &Facts) -> Vec<Finding> {
    let found = [
        machine_id(look),
        dbus_machine_id(look),
        host_keys(look, facts),
        authorized_keys(look),
        random_seed(look),
        leases(look),
    ];
    found.into_iter().flatten().collect()
}

fn machine_id(look: &Look<'_>) -> Option<Finding> {
    let path = "/etc/machine-id";
    let id = look.text(path)?;
    if matches!(id.trim(), "" | "uninitialized") {
        return None;
    }
    Some(
        Finding::new(
            "machine-id",
            "a machine-id",
            vec![path.to_owned()],
            "clones with one machine-id have one DHCP client-id, one journal and one identity on D-Bus",
        )
        .cured(
            "empties it: systemd makes a new one at the first boot",
            Cure::Empty,
        ),
    )
}

fn dbus_machine_id(look: &Look<'_>) -> Option<Finding> {
    let path = "/var/lib/dbus/machine-id";
    let paths = look.filled([path.to_owned()]);
    if paths.is_empty() {
        return None;
    }
    let finding = Finding::new(
        "dbus-machine-id",
        "a machine-id of D-Bus's own",
        paths,
        "systemd takes it for the machine-id of every clone",
    );
    Some(if look.exists("/etc/machine-id") {
        let cure = Cure::Link {
            path: path.to_owned(),
            target: "/etc/machine-id".to_owned(),
        };
        finding.cured("makes it a link to /etc/machine-id", cure)
    } else {
        finding.cured("removes it: D-Bus makes a new one", Cure::Remove)
    })
}

fn host_keys(look: &Look<'_>, facts: &Facts) -> Option<Finding> {
    let mut keys = look.within("/etc/ssh");
    keys.retain(|path| path.starts_with("/etc/ssh/ssh_host_"));
    keys.extend(
        look.within("/etc/dropbear")
            .into_iter()
            .filter(|path| path.ends_with("_host_key")),
    );
    let keys = look.filled(keys);
    if keys.is_empty() {
        return None;
    }
    let makers = [
        "/usr/lib/systemd/system/sshd-keygen@.service",
        "/usr/lib/systemd/system/sshd-keygen.target",
        "/etc/init.d/sshd",
    ];
    let anew = facts.cloud_init.is_some() || makers.iter().any(|maker| look.exists(maker));
    let how = if anew {
        "removes them: each clone makes its own at its first boot"
    } else {
        "removes them: nothing in this image makes new ones, `launch --offline` writes each clone its own"
    };
    Some(
        Finding::new(
            "host-keys",
            "SSH host keys",
            keys,
            "whoever has one clone can pose as all others",
        )
        .cured(how, Cure::Remove),
    )
}

fn authorized_keys(look: &Look<'_>) -> Option<Finding> {
    let homes = look.within("/home").into_iter().chain(["/root".to_owned()]);
    let files = homes
        .flat_map(|home| ["authorized_keys", "authorized_keys2"].map(|name| format!("{home}/.ssh/{name}")));
    let has_key = |path: &String| {
        let text = look.text(path).unwrap_or_default();
        text.lines()
            .any(|line| !line.trim().is_empty() && !line.starts_with('#'))
    };
    let paths: Vec<_> = look.filled(files).into_iter().filter(has_key).collect();
    if paths.is_empty() {
        return None;
    }
    Some(
        Finding::new(
            "authorized-keys",
            "keys that may log in",
            paths,
            "who had the machine that this disk is from can enter every clone",
        )
        .cured(
            "removes them: each clone is given those of its record",
            Cure::Remove,
        ),
    )
}

fn random_seed(look: &Look<'_>) -> Option<Finding> {
    let seeds = [
        "/var/lib/systemd/random-seed",
        "/var/lib/systemd/credential.secret",
        "/var/lib/urandom/random-seed",
        "/var/lib/random-seed",
        "/var/lib/seedrng/seed.credit",
        "/var/lib/seedrng/seed.no-credit",
        "/var/lib/misc/random-seed",
    ];
    let paths = look.filled(seeds.map(str::to_owned));
    if paths.is_empty() {
        return None;
    }
    Some(
        Finding::new(
            "random-seed",
            "a saved random seed",
            paths,
            "what clones draw from it, such as keys, can be guessed by each other",
        )
        .cured(
            "removes it: QEMU gives each clone randomness of its own",
            Cure::Remove,
        ),
    )
}

fn leases(look: &Look<'_>) -> Option<Finding> {
    let folders = [
        "/var/lib/dhcp",
        "/var/lib/dhclient",
        "/var/lib/dhcpcd",
        "/var/lib/dhcpcd5",
        "/var/lib/NetworkManager",
        "/var/lib/wicked",
        "/var/lib/systemd/network",
    ];
    let is_lease = |path: &String| {
        let name = path.rsplit('/').next().unwrap_or_default();
        name.contains(".lease")
            || name.starts_with("lease-")
            || ["duid", "secret_key", "secret"].contains(&name)
    };
    let mut paths: Vec<_> = folders
        .into_iter()
        .flat_map(|folder| look.within(folder))
        .filter(is_lease)
        .collect();
    paths.push("/etc/dhcpcd.duid".to_owned());
    let paths = look.filled(paths);
    if paths.is_empty() {
        return None;
    }
    Some(
        Finding::new(
            "leases",
            "DHCP leases and client identities",
            paths,
            "a clone asks for the address of the machine that this disk is from, in its name",
        )
        .cured("removes them", Cure::Remove),
    )
}
