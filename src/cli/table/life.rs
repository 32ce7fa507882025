//! How a VM's life looks beside its state. Pure.

use crate::control::VmInfo;

/// The lines of a VM's sheet about it; what is as usual is left out.
pub(super) fn lines(vm: &VmInfo) -> Vec<(&'static str, Option<String>)> {
    let life = &vm.life;
    let mut lines = vec![
        ("Failed at", life.failed_at.clone()),
        ("Restart", restart(vm)),
        (
            "Autostart",
            life.autostart.then(|| "when the host starts".to_owned()),
        ),
        ("After", (!life.after.is_empty()).then(|| life.after.join(", "))),
    ];
    lines.extend(
        life.console_tail
            .iter()
            .map(|line| ("Console", Some(line.clone()))),
    );
    lines
}

fn restart(vm: &VmInfo) -> Option<String> {
    let life = &vm.life;
    let policy = life.restart.as_deref().filter(|policy| *policy != "no")?;
    let at = life
        .restart_at
        .as_ref()
        .map_or_else(String::new, |at| format!("; next at {at}"));
    Some(match life.restarts {
        0 => format!("{policy}{at}"),
        1 => format!("{policy}: started again once{at}"),
        times => format!("{policy}: started again {times} times{at}"),
    })
}
