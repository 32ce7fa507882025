//! The shape of a VM: what was pinned when it was created, and what can be changed later.

use crate::lab::{Lab, Run};
use crate::{guests, root};

/// A lab with `web1`, launched with these words, ready.
fn lab_with_web1(words: &[&str]) -> Lab {
    let lab = Lab::new();
    guests::add_tiny(&lab, "tiny");
    let words = [&["web1", "--wait=120"], words].concat();
    Run::of(&mut guests::launch(&lab, &words)).ok();
    lab
}

/// A field of what `show` tells of `web1`.
fn show(lab: &Lab, field: &str) -> serde_json::Value {
    let json = lab.seedbed(&["show", "web1", "--format", "json"]).ok();
    let vms: serde_json::Value = serde_json::from_str(&json).unwrap();
    let vm = if vms.is_array() { vms[0].clone() } else { vms };
    vm[field].clone()
}

/// The words that follow an option of the QEMU that runs.
fn running(lab: &Lab, option: &str) -> Vec<String> {
    let line = std::fs::read(format!("/proc/{}/cmdline", lab.qemus()[0])).unwrap();
    let text = String::from_utf8(line).unwrap();
    let words: Vec<&str> = text.split('\0').collect();
    let named = words.windows(2).filter(|pair| pair[0] == option);
    named.map(|pair| pair[1].to_owned()).collect()
}

/// A script that is QEMU, but for this one word of its answers and arguments.
fn qemu_that_calls(word: &str, another: &str) -> String {
    format!(
        r#"case "$*" in *"-machine none"*) qemu-system-x86_64 "$@" | sed 's/{word}/{another}/g' ;;
*) exec qemu-system-x86_64 "$@" ;; esac"#
    )
}

#[test]
fn l15_a_qemu_that_is_replaced_changes_no_vm_or_is_refused_by_name() {
    if !root() {
        return;
    }
    let mut lab = lab_with_web1(&[]);
    let pinned = show(&lab, "machine_type").as_str().unwrap().to_owned();
    assert!(pinned.starts_with("pc-q35-"), "{pinned}");
    assert!(running(&lab, "-machine")[0].starts_with(&format!("{pinned},")));
    let qemu = lab.qemus();
    lab.stop_daemon();
    // Its successor calls another board q35, and has the VM's still.
    lab.replace_qemu(&qemu_that_calls(r#""alias": "q35""#, r#""alias": "before""#));
    lab.start_daemon();
    assert_eq!(lab.qemus(), qemu, "a running VM is not hurt");
    let told = Run::of(&mut guests::launch(&lab, &["web2"]));
    told.refused(1, &["is that QEMU?", "no machine type q35"]);
    lab.replace_qemu(&qemu_that_calls(
        r#""minor": [0-9]*, "major": [0-9]*"#,
        r#""minor": 2, "major": 5"#,
    ));
    Run::of(&mut guests::launch(&lab, &["web2"])).refused(1, &["QEMU 5.2", "too old", "7.2.0 or later"]);
    // One that has forgotten the VM's board: replaced while the daemon runs.
    lab.seedbed(&["stop", "web1", "--force"]).ok();
    lab.replace_qemu(&qemu_that_calls(&pinned, "pc-q35-99.1"));
    let started = lab.seedbed(&["start", "web1"]);
    let hint = "seedbed set web1 --machine-type newest";
    started.refused(1, &["web1 can not be started", &pinned, hint]);
    // The one that it was created with is there again.
    lab.replace_qemu(r#"exec qemu-system-x86_64 "$@""#);
    lab.seedbed(&["start", "web1"]).ok();
    assert_eq!(show(&lab, "machine_type"), pinned);
    assert!(running(&lab, "-machine")[0].starts_with(&format!("{pinned},")));
}

#[test]
fn a_processor_that_was_chosen_is_the_guests_and_one_that_nobody_knows_is_refused() {
    if !root() {
        return;
    }
    let lab = lab_with_web1(&["--cpu-model", "Westmere-v1"]);
    assert_eq!(show(&lab, "cpu_model"), "Westmere-v1");
    assert_eq!(running(&lab, "-cpu"), ["Westmere-v1,enforce"]);
    lab.seedbed(&["set", "web1", "--cpu-model", "Z80"])
        .refused(1, &["does not know the CPU model Z80"]);
    let told = lab.seedbed(&["set", "web1", "--cpu-model", "host"]).ok();
    assert!(told.contains("CPU model: from its next start on"), "{told}");
}
