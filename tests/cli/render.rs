//! `seedbed render`: which view is asked for, and where its bytes go.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use seedbed::control::{Answer, Request, View};

use crate::fake::{Fake, Run};

/// Bytes that are no text in any encoding.
const BYTES: [u8; 5] = [0xeb, 0x3c, 0x90, 0x00, 0xff];

fn fake() -> Fake {
    Fake::new(|request, _| {
        Ok(match request {
            Request::Volume { .. } => Answer::Bytes(BYTES.to_vec()),
            _ => Answer::Text("a text\n".to_owned()),
        })
    })
}

#[test]
fn each_view_is_a_request_of_its_own() {
    for (name, view) in [
        ("nocloud", View::Nocloud),
        ("ignition", View::Ignition),
        ("credentials", View::Credentials),
        ("dhcp", View::Dhcp),
        ("dns", View::Dns),
        ("hosts", View::Hosts),
        ("ipxe", View::Ipxe),
        ("qemu", View::Qemu),
    ] {
        let fake = fake();
        assert_eq!(
            fake.run(&["render", "web1", "db1", "--as", name]).answer(),
            "a text\n"
        );
        let names = vec!["web1".to_owned(), "db1".to_owned()];
        assert_eq!(
            fake.request(),
            Request::Render {
                names,
                view,
                secrets: false
            }
        );
    }
}

#[test]
fn what_cloud_init_ends_with_is_a_view_without_a_name_of_another() {
    let fake = fake();
    fake.run(&["render", "web1", "--merged"]).answer();
    assert!(matches!(
        fake.request(),
        Request::Render {
            view: View::Merged,
            secrets: false,
            ..
        }
    ));
    for args in [
        &["render", "web1"][..],
        &["render", "web1", "--merged", "--as", "qemu"],
    ] {
        assert_eq!(fake.run(args).code, 2, "{args:?}");
    }
}

#[test]
fn the_dhcp_answers_are_values_for_programs() {
    let fake = Fake::new(|_, _| Ok(Answer::Text(r#"[{"name":"web1"}]"#.to_owned())));
    let json = fake
        .run(&["render", "web1", "--as", "dhcp", "--format", "json"])
        .answer();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&json).unwrap()[0]["name"],
        "web1"
    );
    let view = View::DhcpJson;
    let names = vec!["web1".to_owned()];
    assert_eq!(
        fake.request(),
        Request::Render {
            names,
            view,
            secrets: false
        }
    );
    let yaml = fake
        .run(&["render", "web1", "--as", "dhcp", "--format", "yaml"])
        .answer();
    assert_eq!(yaml, "- name: web1\n");
}

#[test]
fn a_volume_goes_to_a_pipe_or_a_file_byte_for_byte() {
    let fake = fake();
    let piped = fake
        .command(&["render", "web1", "--as", "cidata"])
        .output()
        .unwrap();
    assert!(piped.status.success() && piped.stdout == BYTES, "{piped:?}");
    assert_eq!(
        fake.request(),
        Request::Volume {
            name: "web1".to_owned(),
            secrets: false,
        }
    );

    let path = fake.directory().join("web1.img");
    let file = path.to_str().unwrap();
    let silent = fake.run(&["render", "web1", "--as", "cidata", "--output", file]);
    assert_eq!(silent.answer(), "");
    assert_eq!(fs::read(&path).unwrap(), BYTES);
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "what a VM is told can be secret");
    // A text goes to a file too, over what was there.
    fake.run(&["render", "web1", "--as", "dns", "--output", file])
        .answer();
    assert_eq!(fs::read_to_string(&path).unwrap(), "a text\n");
}

#[test]
fn a_volume_is_not_written_on_a_terminal() {
    let fake = fake();
    let mut terminal = Command::new("script");
    let inner = format!(
        "{} render web1 --as cidata; echo code $?",
        env!("CARGO_BIN_EXE_seedbed")
    );
    terminal.args(["-qec", &inner, "/dev/null"]);
    terminal
        .env("SEEDBED_SOCKET", fake.socket())
        .env("SHELL", "/bin/sh");
    let said = Run::of(terminal).stdout;
    assert!(
        said.contains("give a file: seedbed render web1 --as cidata --output web1.img"),
        "{said}"
    );
    assert!(said.contains("code 2") && fake.requests().is_empty(), "{said}");
}

#[test]
fn two_volumes_are_not_one() {
    let fake = fake();
    let run = fake.run(&["render", "web1", "web2", "--as", "cidata"]);
    assert!(
        run.code == 2 && run.stderr.contains("name one VM") && fake.requests().is_empty(),
        "{run:?}"
    );
}

#[test]
fn a_file_that_can_not_be_written_is_named() {
    let run = fake().run(&["render", "web1", "--as", "dns", "--output", "/nonexistent/a"]);
    assert!(
        run.code == 3 && run.stderr.contains("can not write /nonexistent/a: "),
        "{run:?}"
    );
}
