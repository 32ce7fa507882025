//! `seedbed ssh`: what the real ssh is told. Here it is a script that prints its arguments.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::fake::{Fake, Run, vm};

/// Writes a shell script.
pub(crate) fn script(directory: &Path, name: &str, body: &str) {
    std::fs::create_dir_all(directory).unwrap();
    let path = directory.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
}

fn ssh(fake: &Fake, args: &[&str]) -> Run {
    let bin = fake.directory().join("bin");
    script(&bin, "ssh", "printf '%s\\n' \"$@\"; exit 42");
    let mut command = fake.command(args);
    command.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
    Run::of(command)
}

#[test]
fn ssh_is_told_the_name_the_keys_and_the_user_and_its_code_is_ours() {
    let fake = Fake::with_vms(vec![vm("web1", 11)]);
    let run = ssh(
        &fake,
        &["ssh", "web1", "-i", "/keys/ops", "--", "echo", "a b", "-v"],
    );
    assert_eq!(run.code, 42, "{run:#?}");
    insta::assert_snapshot!("ssh", run.stdout);
}

#[test]
fn the_real_ssh_understands_what_it_is_told() {
    let mut vm = vm("web1", 11);
    vm.known_hosts = "/a place/100%/known_hosts".into();
    let fake = Fake::with_vms(vec![vm]);
    // -G after our own options: ssh prints what it understood, and connects to nobody.
    let bin = fake.directory().join("bin");
    script(&bin, "ssh", "exec /usr/bin/ssh -G \"$@\"");
    let mut command = fake.command(&["ssh", "web1", "-l", "ann"]);
    command.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
    let told = Run::of(command).answer();
    for line in [
        "user ann",
        "hostname 10.77.0.11",
        "hostkeyalias web1",
        "stricthostkeychecking true",
        "userknownhostsfile \"/a place/100%/known_hosts\"",
    ] {
        let plain = line.replace('"', "");
        assert!(
            told.lines().any(|said| said.replace('"', "") == plain),
            "{line}: {told}"
        );
    }
}

#[test]
fn a_vm_whose_host_keys_are_not_known_is_not_trusted_blindly() {
    let mut fresh = vm("web1", 11);
    fresh.host_keys.clear();
    let fake = Fake::with_vms(vec![fresh]);
    let run = ssh(&fake, &["ssh", "web1"]);
    assert_eq!((run.code, run.stdout.as_str()), (1, ""));
    assert_eq!(
        run.stderr,
        "error: web1 did not tell its host keys yet\nhint: not ready yet: seedbed wait web1; if its first boot is long over, have it \
         tell them on its console: sudo cloud-init single --name phone_home --frequency always\n"
    );
}

#[test]
fn a_vm_that_does_not_run_is_said_to_be_stopped() {
    let mut stopped = vm("web1", 11);
    stopped.state = "stopped".to_owned();
    let run = ssh(&Fake::with_vms(vec![stopped]), &["ssh", "web1"]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.starts_with("error: web1 is stopped\n"), "{run:#?}");
}

#[test]
fn a_range_is_no_vm_to_log_in_to() {
    let run = ssh(
        &Fake::with_vms(vec![vm("web1", 11), vm("web2", 12)]),
        &["ssh", "web[1-2]"],
    );
    assert_eq!(run.code, 1);
    assert_eq!(run.stderr, "error: `web[1-2]` stands for 2 VMs, not for one\n");
}
