//! A daemon beside tools of QEMU that tell when they are started.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use super::corpus::Says;
use crate::lab::{Lab, Run};

pub(super) const REFUSED: i32 = 1;
const TOOLS: [&str; 6] = [
    "qemu-img",
    "qemu-io",
    "qemu-nbd",
    "qemu-storage-daemon",
    "qemu-system-x86_64",
    "qemu-system-aarch64",
];

/// A lab in whose PATH every tool of QEMU leaves a mark and says that all is well, with the refusals that were none.
pub(super) struct Watched {
    pub(super) lab: Lab,
    path: String,
    wrong: Vec<String>,
    tried: usize,
}

impl Watched {
    pub(super) fn new() -> Self {
        let mut lab = Lab::without_daemon();
        let tools = lab.path("tools");
        fs::create_dir(&tools).unwrap();
        for tool in TOOLS {
            let script = format!("#!/bin/sh\necho \"$0 $*\" >>{}\n", lab.path("mark").display());
            fs::write(tools.join(tool), script).unwrap();
            fs::set_permissions(tools.join(tool), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
        Run::of(Command::new("qemu-img").arg("info").env("PATH", &path)).ok();
        fs::remove_file(lab.path("mark")).expect("a tool that is started leaves its mark");
        lab.start_daemon_with(&[("PATH", &path)]);
        lab.wait_for_daemon();
        Self {
            lab,
            path,
            wrong: Vec::new(),
            tried: 0,
        }
    }

    /// Adds a file as an image: refused in one line, or in one and a hint, that say what is wrong and what to do, and nothing else
    /// happens.
    pub(super) fn refuses(&mut self, file: &Path, options: &[&str], code: i32, Says(what, todo): Says) {
        self.tried += 1;
        let mut add = self.lab.command(&["image", "add", "evil"]);
        let run = Run::of(add.arg(file).args(options).env("PATH", &self.path));
        let told = run.stderr.contains(what) && run.stderr.contains(todo) && run.stdout.is_empty();
        let one_sentence = run
            .stderr
            .lines()
            .filter(|line| !line.starts_with("hint: "))
            .count()
            == 1;
        let left = self.lab.listing("state/images");
        let mark = fs::read_to_string(self.lab.path("mark")).unwrap_or_default();
        if run.code != code || !told || !one_sentence || !left.is_empty() || !mark.is_empty() {
            let wanted = format!("exit {code}, {what:?}, {todo:?}");
            self.wrong
                .push(format!("{run}wanted: {wanted}\nleft: {left:?}\nQEMU: {mark:?}\n"));
            // One that was taken must not make the next one's refusal.
            let _deleted = self.lab.seedbed(&["image", "delete", "evil"]);
        }
    }

    pub(super) fn refuses_bytes(&mut self, name: &str, bytes: &[u8], says: Says) {
        let file = self.lab.path(name);
        fs::write(&file, bytes).unwrap();
        self.refuses(&file, &[], REFUSED, says);
        assert_eq!(fs::read(&file).unwrap(), bytes, "{name} itself was changed");
        fs::remove_file(file).unwrap();
    }

    /// Every refusal was as it should be, there were at least this many, and the daemon is as it was.
    pub(super) fn done(self, at_least: usize) {
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
        assert!(self.tried >= at_least, "{} files only", self.tried);
        let images = self.lab.seedbed(&["image", "list", "--format", "json"]).ok();
        assert_eq!(images.trim(), "[]");
        assert!(!self.lab.path("mark").exists());
    }
}
