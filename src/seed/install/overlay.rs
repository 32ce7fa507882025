//! The overlay that has Alpine's installer install by itself: a tar archive that its initramfs unpacks over the live system, with
//! the answers and a script that `OpenRC` runs when everything is up.

use std::io::{self, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;

/// What is run.
const SCRIPT: &str = include_str!("../../../seed-templates/install/alpine.start");

/// What is in the overlay beside the answers: path, mode and contents, or for a link where it points.
const PARTS: [(&str, u32, Part); 4] = [
    // Has the initramfs start the services of a live system, which it leaves out for a system with an overlay of its own.
    ("etc/.default_boot_services", 0o644, Part::File("")),
    ("etc/apk/world", 0o644, Part::File("alpine-base\n")),
    ("etc/local.d/seedbed.start", 0o755, Part::File(SCRIPT)),
    (
        "etc/runlevels/default/local",
        0o777,
        Part::Link("/etc/init.d/local"),
    ),
];
const ANSWERS: &str = "etc/seedbed/answers";

#[derive(Debug, Clone, Copy)]
enum Part {
    File(&'static str),
    Link(&'static str),
}

/// The archive (`.apkovl.tar.gz`) that holds these answers.
pub(super) fn archive(answers: &str) -> Vec<u8> {
    // Writing to memory can not fail.
    written(answers).unwrap_or_default()
}

fn written(answers: &str) -> io::Result<Vec<u8>> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    for (path, mode, part) in PARTS {
        match part {
            Part::File(text) => member(&mut out, (path, mode), b'0', text.as_bytes())?,
            Part::Link(to) => out.write_all(&header(path, mode, (b'2', 0, to)))?,
        }
    }
    member(&mut out, (ANSWERS, 0o644), b'0', answers.as_bytes())?;
    out.write_all(&[0; 2 * BLOCK])?;
    out.finish()
}

/// Tar's block, in octets.
const BLOCK: usize = 512;

fn member(out: &mut impl io::Write, (path, mode): (&str, u32), kind: u8, contents: &[u8]) -> io::Result<()> {
    out.write_all(&header(path, mode, (kind, contents.len(), "")))?;
    out.write_all(contents)?;
    let padding = contents.len().next_multiple_of(BLOCK) - contents.len();
    out.write_all(&vec![0; padding])
}

/// A header of POSIX.1-1988 (`ustar`), of root's and without a time.
fn header(path: &str, mode: u32, (kind, len, link): (u8, usize, &str)) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, octets: &[u8]| {
        if let Some(place) = header.get_mut(at..at + octets.len()) {
            place.copy_from_slice(octets);
        }
    };
    put(0, path.as_bytes());
    put(100, format!("{mode:07o}").as_bytes());
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, format!("{len:011o}").as_bytes());
    put(136, b"00000000000");
    // The checksum counts itself as blanks.
    put(148, b"        ");
    put(156, &[kind]);
    put(157, link.as_bytes());
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|octet| u32::from(*octet)).sum();
    if let Some(place) = header.get_mut(148..155) {
        place.copy_from_slice(format!("{sum:06o}\0").as_bytes());
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn tar_unpacks_what_alpine_is_to_find() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.tar.gz");
        std::fs::write(&file, archive("DISKOPTS=\"-m sys /dev/vda\"\n")).unwrap();
        let status = Command::new("tar")
            .arg("-xzpf")
            .arg(&file)
            .arg("-C")
            .arg(folder.path())
            .status();
        assert!(status.unwrap().success());
        let at = |path: &str| folder.path().join(path);
        let text = std::fs::read_to_string(at("etc/seedbed/answers")).unwrap();
        assert_eq!(text, "DISKOPTS=\"-m sys /dev/vda\"\n");
        assert_eq!(
            std::fs::read_to_string(at("etc/local.d/seedbed.start")).unwrap(),
            SCRIPT
        );
        assert_eq!(
            std::fs::read_link(at("etc/runlevels/default/local"))
                .unwrap()
                .to_str(),
            Some("/etc/init.d/local")
        );
        assert!(at("etc/.default_boot_services").exists());
        let run = Command::new("test")
            .arg("-x")
            .arg(at("etc/local.d/seedbed.start"))
            .status();
        assert!(run.unwrap().success());
    }

    #[test]
    fn the_script_is_one_that_a_shell_reads() {
        let status = Command::new("sh").args(["-n", "-c", SCRIPT]).status().unwrap();
        assert!(status.success());
    }
}
