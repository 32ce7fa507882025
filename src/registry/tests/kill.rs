//! `kill -9` on a real process with a real file: what it acknowledged is there, and nothing else.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use super::*;

const STATE: &str = "SEEDBED_TEST_REGISTRY";

/// What the killed process does: commits for ever, and says so.
#[tokio::main]
async fn victim(path: &Path) {
    let registry = opened(path, vec![network("lab", "10.77.0.1/16", None)]);
    loop {
        let next = registry.read().revision().0 + 1;
        let done = registry
            .commit(register([new(&format!("v{next}"))]))
            .await
            .unwrap();
        println!("acknowledged {}", done.revision.0);
        std::io::stdout().flush().unwrap();
    }
}

/// Lets the victim acknowledge so many commits, kills it, and tells the last one it acknowledged.
fn killed_after(path: &Path, commits: usize) -> Option<u64> {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "registry::tests::kill::every_acknowledged_commit_survives_kill_nine",
            "--nocapture",
        ])
        .env(STATE, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| line.split_once("acknowledged ")?.1.parse().ok());
    let heard: Vec<u64> = lines.by_ref().take(commits).collect();
    victim.kill().unwrap();
    victim.wait().unwrap();
    // What it said before it died counts too.
    heard.into_iter().chain(lines).last()
}

#[test]
fn every_acknowledged_commit_survives_kill_nine() {
    // The victim is this test once more, in a process of its own.
    if let Some(path) = std::env::var_os(STATE) {
        return victim(Path::new(&path));
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.redb");
    let mut promised = 0;
    for commits in [1, 0, 3, 7, 2, 11, 1, 5, 0, 4] {
        promised = killed_after(&path, commits).unwrap_or(promised);
        let found = opened(&path, vec![network("lab", "10.77.0.1/16", None)]).read();
        let revision = found.revision().0;
        assert!(
            revision == promised || revision == promised + 1,
            "{revision} after {promised}"
        );
        assert_eq!(found.vms().len() as u64, revision);
        assert!((1..=revision).all(|number| found.vm(&name(&format!("v{number}"))).is_some()));
        promised = revision;
    }
    assert!(promised >= 34, "{promised}");
}
