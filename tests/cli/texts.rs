//! What is printed without a daemon: help, completions, usage errors.

use crate::fake::{Run, seedbed};

const VERBS: &[&str] = &[
    "serve",
    "init",
    "image",
    "image add",
    "image build",
    "image lint",
    "image list",
    "image seal",
    "image show",
    "image delete",
    "image install",
    "image edit",
    "image commit",
    "image promote",
    "image gc",
    "image customize",
    "launch",
    "add",
    "import",
    "set",
    "list",
    "show",
    "start",
    "stop",
    "restart",
    "reset",
    "rebase",
    "delete",
    "console",
    "log",
    "wait",
    "check",
    "ssh",
    "render",
    "hosts",
    "export",
    "network",
    "network list",
    "port",
    "port up",
    "port down",
    "port list",
    "port libvirt-hook",
    "leases",
    "discovered",
    "adopt",
    "dns",
    "dns add",
    "dns list",
    "dns delete",
    "key",
    "key add",
    "key list",
    "key delete",
    "template",
    "template list",
    "template show",
    "template add",
    "template delete",
    "template check",
    "template reload",
    "completions",
    "version",
    "pause",
    "resume",
    "kill",
    "undelete",
    "clone",
    "snapshot",
    "snapshot create",
    "snapshot list",
    "snapshot restore",
    "snapshot delete",
];

fn run(args: &[&str]) -> Run {
    let directory = tempfile::tempdir().unwrap();
    Run::of(seedbed(directory.path(), args))
}

#[test]
fn the_help_of_every_verb_is_as_it_was() {
    insta::assert_snapshot!("help", run(&["--help"]).answer());
    for verb in VERBS {
        let mut args: Vec<_> = verb.split(' ').collect();
        args.push("--help");
        insta::assert_snapshot!(format!("help {verb}").replace(' ', "-"), run(&args).answer());
    }
}

#[test]
fn no_verb_is_missing_from_the_snapshots() {
    let top = run(&["--help"]).answer();
    let listed = top
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next());
    for verb in listed {
        assert!(VERBS.contains(&verb), "{verb} is missing");
    }
}

#[test]
fn a_command_line_that_makes_no_sense_is_code_2_and_says_nothing_on_stdout() {
    for args in [
        &[][..],
        &["fly"],
        &["launch", "--image", "debian-12"],
        &["launch", "web1"],
        &["launch", "web1", "-i", "x", "--cpus", "many"],
        &["launch", "web1", "-i", "x", "--wait=soon"],
        &["list", "--format", "xml"],
        &["start"],
        &["start", "web1", "--all"],
        &["stop", "web1", "--deadline", "soon"],
        &["set", "web1"],
        &["show"],
        &["wait", "web1", "--for", "ever"],
        &["render", "web1"],
        &["import", "roster.csv"],
        &["image", "add", "x", "x.img"],
        &["image", "install", "x"],
        &[
            "image",
            "install",
            "x",
            "--iso",
            "x.iso",
            "--netboot",
            "debian-12",
        ],
        &[
            "image",
            "install",
            "x",
            "--iso",
            "x.iso",
            "--mirror",
            "http://x/debian",
        ],
        &["image", "add", "x", "x.raw", "--initrd", "initrd.gz"],
    ] {
        let run = run(args);
        assert_eq!(run.code, 2, "{args:?}: {run:#?}");
        assert_eq!(run.stdout, "", "{args:?}");
        assert_ne!(run.stderr, "", "{args:?}");
    }
}

#[test]
fn completions_name_the_verbs() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]).answer();
        assert!(script.contains("launch"), "{shell}");
    }
}

#[test]
fn the_version_is_known_without_a_daemon() {
    let run = run(&["version"]);
    assert_eq!(run.stdout, concat!("seedbed ", env!("CARGO_PKG_VERSION"), "\n"));
    assert!(
        run.stderr.starts_with("the seedbed daemon is not running"),
        "{run:#?}"
    );
    assert_eq!(run.code, 0);
}

#[test]
fn a_filter_that_is_none_is_told_before_the_daemon_starts() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = seedbed(directory.path(), &["serve"]);
    command.env("SEEDBED_LOG", "seedbed=loud");
    let run = Run::of(command);
    assert_eq!(run.code, 2, "{run:#?}");
    assert!(
        run.stderr
            .contains("SEEDBED_LOG=seedbed=loud is not a log filter"),
        "{run:#?}"
    );
}

#[test]
fn a_first_configuration_is_written_once_and_never_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config.yaml");
    let init = |args: &[&str]| Run::of(seedbed(directory.path(), &[&["init"], args].concat()));
    let path = config.display();
    assert_eq!(init(&["--domain", "course"]).answer(), format!("wrote {path}\n"));
    let written = std::fs::read_to_string(&config).unwrap();
    assert!(written.contains("course"), "{written}");
    assert_eq!(
        init(&["--domain", "course"]).answer(),
        format!("{path} is already like this\n")
    );
    assert_eq!(
        init(&[]).answer(),
        format!("{path} is already there; it was not changed\n")
    );
    let other = init(&["--domain", "lab2"]);
    assert_eq!(other.code, 1, "{other:#?}");
    assert_eq!(init(&["--subnet", "10.77.0.1"]).code, 2);
    assert_eq!(std::fs::read_to_string(&config).unwrap(), written);
}

#[test]
fn the_daemon_without_a_configuration_says_how_to_make_one() {
    let run = run(&["serve"]);
    assert_eq!(run.code, 3, "{run:#?}");
    assert!(run.stderr.contains("config.yaml"), "{run:#?}");
    assert!(run.stderr.contains("seedbed init"), "{run:#?}");
}
