//! What commands print: tables, sheets, sentences, JSON, YAML, and progress beside it.

use seedbed::control::{
    Answer, DeleteVms, ImageRequest, InstallImage, InstallMedia, NicInfo, Rebase, ReplaceDisks, Request,
    Rung, Select, StopVms, View, WaitFor, WorkshopSize,
};

use crate::fake::{Fake, Run, image, vm};

fn zoo() -> Fake {
    let mut booting = vm("web2", 12);
    booting.step = Some("dhcp".to_owned());
    let mut stopped = vm("db1", 13);
    stopped.state = "stopped".to_owned();
    stopped.step = None;
    let mut failed = vm("db2", 14);
    failed.state = "failed".to_owned();
    failed.step = None;
    failed.failure = Some("QEMU ended with code 1".to_owned());
    let mut external = vm("nas", 20);
    external.state = "external".to_owned();
    external.step = None;
    external.image = None;
    Fake::with_vms(vec![vm("web1", 11), booting, stopped, failed, external])
}

#[test]
fn a_list_is_a_plain_table() {
    insta::assert_snapshot!("list", zoo().run(&["list"]).answer());
}

#[test]
fn a_vm_of_several_nics_shows_all_its_addresses() {
    let mut web1 = vm("web1", 11);
    let nic = |network: &str, ip: [u8; 4], slot| NicInfo {
        network: network.to_owned(),
        fqdn: format!("web1.{network}"),
        ip: ip.into(),
        mac: "52:54:00:00:00:07".to_owned(),
        tap: "tap-web1c1ef17".to_owned(),
        slot,
    };
    web1.nics = vec![
        nic("lab", [10, 77, 0, 11], 0x2),
        nic("back", [10, 78, 0, 5], 0x18),
    ];
    let fake = Fake::with_vms(vec![web1]);
    assert!(fake.run(&["list"]).answer().contains(" 10.77.0.11,10.78.0.5 "));
    let sheet = fake.run(&["show", "web1"]).answer();
    let line = "Further NIC: back 10.78.0.5 52:54:00:00:00:07 tap-web1c1ef17 slot 0x18";
    assert!(sheet.lines().any(|found| found == line), "{sheet}");
}

#[test]
fn an_empty_list_is_its_header() {
    let fake = Fake::with_vms(Vec::new());
    assert_eq!(
        fake.run(&["ls"]).answer().trim_end(),
        "NAME   STATE   IP   MAC   IMAGE   AGE"
    );
}

#[test]
fn json_and_yaml_hold_all_that_is_known() {
    let known = vec![vm("web1", 11)];
    let fake = Fake::with_vms(known.clone());
    for verb in [&["list"][..], &["show", "web1"], &["start", "web1"]] {
        let json = fake.run(&[verb, &["--format", "json"]].concat()).answer();
        assert_eq!(
            serde_json::from_str::<Vec<seedbed::control::VmInfo>>(&json).unwrap(),
            known
        );
        let yaml = fake.run(&[verb, &["--format", "yaml"]].concat()).answer();
        assert_eq!(
            serde_yaml::from_str::<Vec<seedbed::control::VmInfo>>(&yaml).unwrap(),
            known
        );
    }
}

#[test]
fn a_sheet_shows_one_thing_a_line() {
    let mut fresh = vm("nas", 20);
    fresh.image = None;
    fresh.memory = None;
    fresh.host_keys.clear();
    let fake = Fake::with_vms(vec![vm("web1", 11), fresh]);
    insta::assert_snapshot!("show", fake.run(&["info", "web1", "nas"]).answer());
}

#[test]
fn what_was_done_is_said_in_sentences() {
    insta::assert_snapshot!("start", zoo().run(&["start", "--all"]).answer());
}

#[test]
fn images_are_listed_and_shown() {
    let fake = Fake::new(|_, _| Ok(Answer::Images(vec![image("debian-12")])));
    insta::assert_snapshot!("image-list", fake.run(&["image", "list"]).answer());
    insta::assert_snapshot!("image-show", fake.run(&["image", "show", "debian-12"]).answer());
    let json = fake.run(&["image", "ls", "--format", "json"]).answer();
    assert_eq!(
        serde_json::from_str::<Vec<seedbed::control::ImageInfo>>(&json).unwrap(),
        [image("debian-12")]
    );
}

#[test]
fn texts_are_printed_as_they_are() {
    let fake = Fake::new(|_, _| Ok(Answer::Text("10.77.0.11 web1.lab web1\n".to_owned())));
    assert_eq!(fake.run(&["hosts"]).answer(), "10.77.0.11 web1.lab web1\n");
    let fake = Fake::new(|_, _| Ok(Answer::Text("no line end".to_owned())));
    assert_eq!(
        fake.run(&["render", "web1", "--as", "qemu"]).answer(),
        "no line end\n"
    );
    let view = View::Qemu;
    let names = vec!["web1".to_owned()];
    assert_eq!(
        fake.request(),
        Request::Render {
            names,
            view,
            secrets: false
        }
    );
}

#[test]
fn progress_goes_to_stderr_and_the_answer_to_stdout() {
    let climbing = || {
        Fake::new(|_, progress| {
            for rung in ["started", "dhcp", "metadata", "ready"] {
                progress.line("web1", rung);
            }
            Ok(Answer::Vms(vec![vm("web1", 11)]))
        })
    };
    let run = climbing().run(&["wait", "web1"]);
    assert_eq!(
        run.stderr,
        "web1: started\nweb1: dhcp\nweb1: metadata\nweb1: ready\n"
    );
    assert_eq!(run.answer(), "web1 is ready at 10.77.0.11\n");
    assert_eq!(climbing().run(&["wait", "web1", "--quiet"]).stderr, "");
}

#[test]
fn flags_become_requests() {
    let all = || Select {
        names: Vec::new(),
        all: true,
    };
    let names = || vec!["web[1-3]".to_owned(), "db1".to_owned()];
    for (args, request) in [
        (&["list", "web[1-3]", "db1"][..], Request::List { names: names() }),
        (&["start", "--all"], Request::Start(all())),
        (
            &["stop", "web[1-3]", "db1"],
            Request::Stop(StopVms {
                select: Select {
                    names: names(),
                    all: false,
                },
                force: false,
                deadline_seconds: 60,
            }),
        ),
        (
            &["restart", "--all", "--force", "--deadline", "2m"],
            Request::Restart(StopVms {
                select: all(),
                force: true,
                deadline_seconds: 120,
            }),
        ),
        (
            &["wait", "web[1-3]", "db1", "--for", "dhcp", "--timeout", "90"],
            Request::Wait(WaitFor {
                names: names(),
                rung: Rung::Dhcp,
                timeout_seconds: 90,
            }),
        ),
    ] {
        let fake = Fake::with_vms(Vec::new());
        fake.run(args).answer();
        assert_eq!(fake.request(), request, "{args:?}");
    }
}

#[test]
fn deleting_asks_nothing_and_says_what_was_done() {
    let fake = Fake::new(|_, _| Ok(Answer::Done("deleted web1".to_owned())));
    assert_eq!(fake.run(&["rm", "-f", "web1"]).answer(), "deleted web1\n");
    let select = Select {
        names: vec!["web1".to_owned()],
        all: false,
    };
    assert_eq!(
        fake.request(),
        Request::Delete(DeleteVms {
            select,
            force: true,
            now: false,
            deleted: false,
        })
    );
}

#[test]
fn an_install_is_asked_for_by_the_real_path_of_its_media() {
    let fake = Fake::with_vms(vec![vm("install-x", 10)]);
    std::fs::write(fake.directory().join("x.iso"), "").unwrap();
    let iso = fake.directory().canonicalize().unwrap().join("x.iso");
    let words = ["image", "install", "x", "--iso", "x.iso", "--unattended"];
    let more = ["--mirror", "http://mirror/debian", "--memory", "2G", "--detach"];
    let mut command = fake.command(&[&words[..], &more].concat());
    command.current_dir(fake.directory());
    let said = Run::of(command).answer();
    assert_eq!(
        said.lines().next(),
        Some("install-x runs, and becomes image x when it powers itself off")
    );
    let expected = InstallImage {
        image: "x".to_owned(),
        media: InstallMedia::Iso(iso),
        unattended: true,
        mirror: Some("http://mirror/debian".to_owned()),
        default_user: None,
        size: WorkshopSize {
            memory: Some("2G".to_owned()),
            ..WorkshopSize::default()
        },
        disk: None,
    };
    assert_eq!(fake.request(), Request::Image(ImageRequest::Install(expected)));
}

#[test]
fn disks_are_replaced_back_to_the_image_or_by_another_generation_of_it() {
    for (args, rebase, force, start) in [
        (&["reset", "web1"][..], None, false, false),
        (&["reset", "web1", "-f", "--start"], None, true, true),
        (&["rebase", "web1"], Some((None, false)), false, false),
        (
            &["rebase", "web1", "--to", "debian-12@4", "--keep-data"],
            Some((Some("debian-12@4".to_owned()), true)),
            false,
            false,
        ),
    ] {
        let fake = Fake::new(|_, _| Ok(Answer::Done("web1 is as it was".to_owned())));
        assert_eq!(fake.run(args).answer(), "web1 is as it was\n", "{args:?}");
        let expected = ReplaceDisks {
            select: Select {
                names: vec!["web1".to_owned()],
                all: false,
            },
            rebase: rebase.map(|(to, keep_data)| Rebase { to, keep_data }),
            force,
            start,
        };
        assert_eq!(fake.request(), Request::ReplaceDisks(expected), "{args:?}");
    }
    let whole = Fake::new(|_, _| Ok(Answer::Done("done".to_owned())));
    assert_eq!(whole.run(&["reset"]).code, 2);
    assert_eq!(whole.run(&["rebase", "web1", "--all"]).code, 2);
}

#[test]
fn an_image_is_added_by_its_real_path_and_declared_format() {
    let fake = Fake::new(|_, _| Ok(Answer::Images(vec![image("tiny")])));
    let disk = fake.directory().join("disk.raw");
    std::fs::write(&disk, "").unwrap();
    fake.command(&["image", "add", "tiny", "disk.raw"])
        .current_dir(fake.directory())
        .output()
        .unwrap();
    match fake.request() {
        Request::Image(ImageRequest::Add(add)) => {
            assert_eq!(
                (add.file, add.format.as_str()),
                (disk.canonicalize().unwrap(), "raw")
            );
            assert_eq!((add.default_user.as_str(), add.view), ("debian", None));
        }
        other => panic!("{other:?}"),
    }
    let missing = fake.run(&["image", "add", "x", "/nowhere/disk.raw"]);
    assert_eq!(missing.code, 3, "{missing:#?}");
    assert!(
        missing.stderr.contains("can not find /nowhere/disk.raw"),
        "{missing:#?}"
    );
}

#[test]
fn an_image_says_how_its_vms_learn_who_they_are_and_that_says_who_gets_the_keys() {
    for (given, view, user) in [
        (&["--view", "cidata"][..], "cidata", "debian"),
        (&["--view", "ignition"], "ignition", "core"),
        (&["--view", "credentials"], "credentials", "root"),
        (
            &["--view", "ignition", "--default-user", "admin"],
            "ignition",
            "admin",
        ),
    ] {
        let fake = Fake::new(|_, _| Ok(Answer::Images(vec![image("tiny")])));
        fake.run(
            &[
                &["image", "add", "tiny", "/dev/null", "--disk-format", "raw"],
                given,
            ]
            .concat(),
        )
        .answer();
        match fake.request() {
            Request::Image(ImageRequest::Add(add)) => {
                assert_eq!(
                    (add.view.as_deref(), add.default_user.as_str()),
                    (Some(view), user)
                );
            }
            other => panic!("{other:?}"),
        }
    }
    let unknown = zoo().run(&["image", "add", "tiny", "/dev/null", "--view", "floppy"]);
    assert!(
        unknown.code == 2 && unknown.stderr.contains("possible values: auto, nocloud"),
        "{unknown:?}"
    );
}

#[test]
fn a_running_daemon_tells_its_version() {
    let fake = Fake::new(|_, _| {
        Ok(Answer::Hello {
            version: "9.9".to_owned(),
            pid: 12,
        })
    });
    let answer = fake.run(&["version"]).answer();
    assert!(answer.ends_with("\ndaemon 9.9 (process 12)\n"), "{answer}");
}
