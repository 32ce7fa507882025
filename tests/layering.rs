//! The architecture as a test: who may import whom, where I/O may stand, and that every file says what it is for.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that can not go on fails, and says what it measured"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// Each top-level module and the modules of ours it may name (docs/architecture.md).
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("net", &[]),
    ("config", &["model"]),
    ("host", &["model", "net"]),
    ("registry", &["model"]),
    ("control", &["model"]),
    ("image", &["model"]),
    ("seed", &["model"]),
    ("ladder", &["model"]),
    ("dhcp", &["model", "net"]),
    ("dns", &["model", "net"]),
    ("export", &["model"]),
    ("fetch", &["model"]),
    ("machine", &["model", "image"]),
    ("console", &["model", "image"]),
    ("offline", &["model"]),
    ("metadata", &["model", "seed", "net"]),
    ("telemetry", &[]),
    ("ssh", &[]),
    (
        "daemon",
        &[
            "config",
            "console",
            "control",
            "dhcp",
            "dns",
            "export",
            "host",
            "image",
            "ladder",
            "machine",
            "metadata",
            "model",
            "net",
            "offline",
            "registry",
            "seed",
            "telemetry",
            "ssh",
        ],
    ),
    (
        "cli",
        &[
            "model",
            "control",
            "config",
            "telemetry",
            "image",
            "seed",
            "offline",
            "fetch",
            "console",
        ],
    ),
];

/// Files that may do I/O wherever they stand; everything under these folders may too.
const IO_FILES: [&str; 15] = [
    "socket.rs",
    "serve.rs",
    "client.rs",
    "supervise.rs",
    "files.rs",
    "store.rs",
    "build.rs",
    "qmp.rs",
    "process.rs",
    "root.rs",
    "door.rs",
    "worker.rs",
    "inside.rs",
    "export.rs",
    "mount.rs",
];
const IO_FOLDERS: [&str; 6] = ["host", "daemon", "cli", "registry", "telemetry", "net"];
const IO_WORDS: [&str; 14] = [
    "tokio::net",
    "tokio::process",
    "tokio::fs",
    "std::fs",
    "std::process",
    "TcpListener",
    "TcpStream",
    "UdpSocket",
    "UnixDatagram",
    "UnixListener",
    "UnixStream",
    "socket2::",
    "Clock.now()",
    "std::env::var",
];

fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test(&path) {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path.strip_prefix(&root).unwrap().to_path_buf(), text));
            }
        }
    }
    assert!(files.len() > 30, "the source tree was not found");
    files
}

/// Whether the whole file is tests: named so, and declared under `cfg(test)` by its module.
fn is_test(path: &Path) -> bool {
    let stem = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    stem == "tests" || stem.ends_with("_tests") || ["fixture", "sample", "namespace"].contains(&stem)
}

/// The part of a file that ships: tests may do what they like.
fn shipped(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or_default()
}

fn module_of(path: &Path) -> Option<&str> {
    let mut parts = path.components();
    let first = parts.next()?.as_os_str().to_str()?;
    parts.next().map(|_| first)
}

fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    shipped(text)
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
}

#[test]
fn imports_point_downwards() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let Some(module) = module_of(&path) else { continue };
        let (_, allowed) = MAY_IMPORT
            .iter()
            .find(|(name, _)| *name == module)
            .unwrap_or_else(|| panic!("src/{module}/ is not in the import table of this test"));
        for line in code_lines(&text) {
            for rest in line.split("crate::").skip(1) {
                let target: String = rest
                    .chars()
                    .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                    .collect();
                let ours = MAY_IMPORT.iter().any(|(name, _)| *name == target);
                if ours && target != module && !allowed.contains(&target.as_str()) {
                    wrong.push(format!(
                        "src/{}: {module} may not import {target}",
                        path.display()
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_files_named_for_it_do_io() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let Some(module) = module_of(&path) else { continue };
        let file = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if IO_FOLDERS.contains(&module) || IO_FILES.contains(&file) {
            continue;
        }
        for line in code_lines(&text) {
            if let Some(word) = IO_WORDS.iter().find(|word| line.contains(**word)) {
                wrong.push(format!("src/{}: `{word}` in a pure file", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn dhcproto_is_named_by_one_file_only() {
    let named: Vec<_> = sources()
        .into_iter()
        .filter(|(_, text)| code_lines(text).any(|line| line.contains("dhcproto::")))
        .map(|(path, _)| path)
        .collect();
    assert_eq!(
        named,
        [PathBuf::from("dhcp/wire.rs")],
        "see docs/architecture.md on why dhcproto is fenced"
    );
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<_> = sources()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(path, _)| path)
        .collect();
    assert!(silent.is_empty(), "no //! line at the top of {silent:?}");
}

#[test]
fn nothing_is_left_unfinished() {
    let marks = ["todo!(", "unimplemented!(", "FIXME", "(being written)"];
    let found: Vec<_> = sources()
        .into_iter()
        .filter(|(_, text)| marks.iter().any(|mark| text.contains(mark)))
        .map(|(path, _)| path)
        .collect();
    assert!(found.is_empty(), "unfinished: {found:?}");
}
