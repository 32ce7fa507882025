//! Tests of `check.rs`.

use super::*;
use proptest::prelude::*;

fn refused(text: &str) -> String {
    check_user_data(text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn everything_cloud_init_knows_by_its_first_line_is_passed() {
    for good in [
        "",
        "\n",
        "#cloud-config\n",
        "#cloud-config\npackages: [curl]\n",
        "#Cloud-Config\r\npackages:\r\n  - curl\r\n",
        "\n#cloud-config\n{\"packages\": []}\n",
        "#!/bin/sh\n: not yaml [",
        "#include\nhttp://10.77.0.1/x\n",
        "#include-once\nhttp://10.77.0.1/x\n",
        "#cloud-boothook\nx",
        "#cloud-config-archive\n- type: text/cloud-config\n",
        "#cloud-config-jsonp\n[]",
        "#part-handler\n",
        "## template: jinja\n#cloud-config\nfqdn: {{ v1.local_hostname }}.x\n",
        "Content-Type: multipart/mixed; boundary=x\nMIME-Version: 1.0\n\n--x\n",
    ] {
        assert_eq!(check_user_data(good.as_bytes()), Ok(()), "{good:?}");
    }
    assert_eq!(check_user_data(&[0x1f, 0x8b, 8, 0, 0xff]), Ok(()));
}

#[test]
fn a_byte_order_mark_is_told() {
    assert_eq!(
        check_user_data("\u{feff}#cloud-config\na: b\n".as_bytes()),
        Err(UserDataProblem::ByteOrderMark)
    );
}

#[test]
fn a_forgotten_first_line_is_told() {
    for bad in ["packages: [curl]\n", "# cloud-config\npackages: [curl]\n"] {
        assert_eq!(
            check_user_data(bad.as_bytes()),
            Err(UserDataProblem::NoHeader),
            "{bad:?}"
        );
    }
    assert!(refused("hello\n").contains("`hello`"));
    assert!(matches!(
        check_user_data(b"\xff\xfe#"),
        Err(UserDataProblem::UnknownKind(_))
    ));
}

#[test]
fn a_cloud_config_that_is_not_yaml_is_refused_with_its_place() {
    let broken = check_user_data(b"#cloud-config\npackages: [curl\nruncmd: x\n").unwrap_err();
    assert!(
        matches!(broken, UserDataProblem::NotYaml { line: 3, .. }),
        "{broken}"
    );
    let tab = refused("#cloud-config\nusers:\n\t- default\n");
    assert!(tab.contains("line 3") && tab.contains("no tabs"), "{tab}");
    let colon = refused("#cloud-config\nruncmd: echo: hello\n");
    assert!(colon.contains("line 2, column"), "{colon}");
}

#[test]
fn a_cloud_config_is_a_mapping() {
    assert!(refused("#cloud-config\n- a\n- b\n").contains("a list"));
    assert!(refused("#cloud-config\nhello\n").contains("a single text"));
}

#[test]
fn a_user_data_has_at_most_a_mebibyte() {
    let mut bytes = b"#!".to_vec();
    bytes.resize(MAX_USER_DATA, b'x');
    assert_eq!(check_user_data(&bytes), Ok(()));
    bytes.push(b'x');
    assert_eq!(
        check_user_data(&bytes),
        Err(UserDataProblem::TooLarge(MAX_USER_DATA + 1))
    );
}

#[test]
fn a_cloud_config_is_utf8() {
    let bytes = b"#cloud-config\na: b\nc: \xff\n";
    assert_eq!(check_user_data(bytes), Err(UserDataProblem::NotUtf8 { line: 3 }));
}

proptest! {
    #[test]
    fn any_bytes_are_judged_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let marked = [b"#cloud-config\n", bytes.as_slice()].concat();
        for bytes in [&bytes, &marked] {
            if let Err(problem) = check_user_data(bytes) {
                prop_assert!(problem.to_string().chars().count() < 700);
            }
        }
    }

    #[test]
    fn any_text_after_the_first_line_is_judged_without_a_panic(text in "[\\PC\n\t ]{0,120}") {
        let judged = check_user_data(format!("#cloud-config\n{text}").as_bytes());
        prop_assert!(judged.is_ok() || !judged.unwrap_err().to_string().is_empty());
    }
}

fn judged(text: &str) -> Findings {
    assert_eq!(check_user_data(text.as_bytes()), Ok(()), "{text}");
    findings(text.as_bytes(), None)
}

/// The problems of a cloud-config; it has no warnings.
#[track_caller]
fn problems(text: &str) -> Vec<String> {
    let judged = judged(&format!("#cloud-config\n{text}"));
    assert_eq!(judged.warnings(), Vec::<String>::new(), "{text}");
    judged.problems()
}

/// The warnings of a cloud-config; it has no problems.
#[track_caller]
fn warnings(text: &str) -> Vec<String> {
    let judged = judged(&format!("#cloud-config\n{text}"));
    assert_eq!(judged.problems(), Vec::<String>::new(), "{text}");
    judged.warnings()
}

#[test]
fn a_key_that_cloud_init_does_not_know_is_told_with_its_line_and_the_one_that_was_meant() {
    assert_eq!(
        problems(
            "packages: [curl]\nusers:\n  - default\n  - name: ann\n    gecos: Ann\n    ssh_authorised_keys: [x]\n"
        ),
        [
            "line 7: users[1].ssh_authorised_keys: cloud-init has no such key; did you mean ssh_authorized_keys?"
        ]
    );
    assert_eq!(
        problems("swap: {path: /swap.img, size: 1G}\n"),
        ["line 2: swap.path: cloud-init has no such key; it knows filename, maxsize, size"]
    );
    assert_eq!(
        problems("package: [curl]\n"),
        ["line 2: package: cloud-init has no such key; did you mean packages?"]
    );
    assert_eq!(
        problems("Write-Files: []\n"),
        ["line 2: Write-Files: cloud-init has no such key; did you mean write_files?"]
    );
}

#[test]
fn a_value_of_another_type_is_told_with_its_line_and_what_was_expected() {
    assert_eq!(
        problems("hostname: web\n\npackages: curl\nruncmd:\n  - echo: hello\n"),
        [
            "line 4: packages: expected a list, found a text",
            "line 6: runcmd[0]: expected a text, nothing or a list, found a mapping"
        ]
    );
    assert_eq!(
        problems(
            "package_update: \"yes\"\nhostname: 12:30\npassword: 0644\ntimezone: no\nusers: [{name: 2026-01-02}]\n"
        ),
        [
            "line 2: package_update: expected true or false, found a text",
            "line 3: hostname: expected a text, found the number 12:30 (750 to cloud-init); put it in quotes",
            "line 4: password: expected a text, found the number 0644 (420 to cloud-init); put it in quotes",
            "line 5: timezone: expected a text, found the truth value no; put it in quotes",
            "line 6: users[0].name: expected a text, found the date 2026-01-02; put it in quotes"
        ]
    );
    assert_eq!(
        problems("power_state: {mode: off}\nwrite_files:\n  - path: /x\n    encoding: base46\n"),
        [
            "line 2: power_state.mode: expected a text, found the truth value off; put it in quotes",
            "line 5: write_files[0].encoding: expected one of b64, base64, gz, gz+b64, gz+base64, gzip, gzip+b64, \
             gzip+base64, text/plain; found `base46`"
        ]
    );
}

#[test]
fn a_key_that_is_missing_is_told() {
    assert_eq!(
        problems("phone_home:\n  tries: 3\nusers:\n  - gecos: Ann\n"),
        [
            "line 3: phone_home: the key url is missing",
            "line 5: users[0]: the key name or snapuser is missing"
        ]
    );
}

#[test]
fn what_cloud_init_takes_and_does_something_else_with_is_a_warning() {
    assert_eq!(
        warnings("write_files:\n  - path: /x\n    permissions: 0644\n  - path: /y\n    permissions: 644\n"),
        [
            "line 4: write_files[0].permissions: expected a text, found the number 0644 (420 to cloud-init); put it in quotes",
            "line 6: write_files[1].permissions: expected a text, found the number 644; put it in quotes"
        ]
    );
    assert_eq!(
        warnings("packages: [a]\nhostname: x\npackages: [b]\n"),
        ["line 4: packages: it is given twice: what line 2 says is lost"]
    );
    assert_eq!(
        warnings("site: {nic: 52:54:00:12:34:56}\n"),
        [
            "line 2: site: cloud-init has no such key: nobody reads it unless a module of the image's own does",
            "line 2: site.nic: cloud-init takes it for the number 52:54:00:12:34:56 (41135085296 to cloud-init); \
             put it in quotes if it is none"
        ]
    );
    assert_eq!(
        warnings("datasource: {}\n"),
        ["line 2: datasource: cloud-init reads it from the image's own configuration, not from a user-data"]
    );
}

#[test]
fn truth_values_of_yaml_1_1_are_fine_where_one_is_expected() {
    assert_eq!(
        warnings("package_update: yes\nmanage_etc_hosts: on\nssh_pwauth: no\n"),
        [""; 0]
    );
}

#[test]
fn deprecated_keys_are_warned_of_where_the_release_is_that_new() {
    let text = b"#cloud-config\napt_update: true\nusers: [{name: a, lock-passwd: true}]\n";
    let told = |release: Option<&str>| {
        let release = release.map(|release| release.parse().unwrap());
        let judged = findings(text, release);
        assert_eq!(judged.problems(), [""; 0]);
        judged.warnings()
    };
    assert_eq!(
        told(None),
        [
            "line 2: apt_update: it is deprecated since cloud-init 22.2: write package_update",
            "line 3: users[0].lock-passwd: it is deprecated since cloud-init 22.3: write lock_passwd"
        ]
    );
    assert_eq!(told(Some("22.4.2-1+deb12u4")).len(), 2);
    assert_eq!(told(Some("20.4.1")), [""; 0]);
}

#[test]
fn keys_that_the_images_release_does_not_know_yet_or_any_more_are_warned_of() {
    let text = b"#cloud-config\nansible: {pull: {url: x, playbook_name: y}}\nssh_keys: {dsa_private: x}\n";
    let told =
        |release: Option<&str>| findings(text, release.map(|release| release.parse().unwrap())).warnings();
    assert_eq!(
        told(Some("20.4")),
        ["line 2: ansible: the image's cloud-init 20.4 does not know it yet: it is new in 22.3"]
    );
    assert_eq!(told(Some("22.4")), [""; 0]);
    assert_eq!(
        told(None),
        [
            "line 2: ansible.pull.playbook_name: it is deprecated since cloud-init 25.2: write playbook_names",
            "line 3: ssh_keys.dsa_private: cloud-init 24.1 and newer know it no more"
        ]
    );
}

#[test]
fn all_that_is_wrong_is_told_up_to_twenty() {
    let many = (0..25).map(|n| format!("  - {n}\n")).collect::<Vec<_>>().concat();
    let told = problems(&format!("packages:\n{many}"));
    assert_eq!(told.len(), 21);
    assert_eq!(
        told[19],
        "line 22: packages[19]: expected a text, a list or a mapping, found the number 19; put it in quotes"
    );
    assert_eq!(told[20], "... and 5 more");
}

#[test]
fn a_document_of_unknown_keys_is_looked_at_soon() {
    let many = (0..60_000)
        .map(|n| format!("k{n}: {n}\n"))
        .collect::<Vec<_>>()
        .concat();
    let judged = judged(&format!("#cloud-config\n{many}"));
    assert_eq!((judged.problems().len(), judged.warnings().len()), (0, 21));
    let nested = findings(
        format!("#cloud-config\nswap: {{{}}}\n", many.replace('\n', ", ")).as_bytes(),
        None,
    );
    assert_eq!(nested.problems().len(), 21);
}

#[test]
fn parts_of_an_archive_are_looked_at_with_their_lines_in_the_file() {
    let judged = judged(
        "#cloud-config-archive\n- type: text/cloud-config\n  content: |\n    #cloud-config\n\n    packages: curl\n\
         - type: text/x-shellscript\n  content: |\n    packages: curl\n- |\n\n  runcmd: x\n- \"#cloud-config\\nbootcmd: x\"\n\
         - \"#!/bin/sh\\nbootcmd: x\"\n- type: text/cloud-config\n  content: \"## template: jinja\\n#cloud-config\\nbootcmd: x\"\n\
         - |\n  a: b\n  c: [\n",
    );
    assert_eq!(
        judged.problems()[..3],
        [
            "line 6: packages: expected a list, found a text",
            "line 12: runcmd: expected a list, found a text",
            "part 4, line 2: bootcmd: expected a list, found a text"
        ]
    );
    assert!(judged.problems()[3].starts_with("line 2"), "{judged:?}");
    assert_eq!(judged.problems().len(), 4);
}

#[test]
fn parts_of_a_mime_message_are_looked_at() {
    let judged = judged(
        "Content-Type: multipart/mixed; boundary=\"x\"\nMIME-Version: 1.0\n\n--x\nContent-Type: text/cloud-config\n\n\
         packages: curl\n--x\nContent-Type: text/plain\nContent-Transfer-Encoding: base64\n\n\
         I2Nsb3VkLWNvbmZpZwpydW5jbWQ6IHgK\n--x\nContent-Type: text/x-shellscript\n\n#!/bin/sh\n--x\n\
         Content-Type: text/plain\n\npackages: curl\n--x--\n",
    );
    assert_eq!(
        judged.problems(),
        [
            "line 7: packages: expected a list, found a text",
            "part 2, line 2: runcmd: expected a list, found a text"
        ]
    );
}

#[test]
fn scripts_templates_and_compressed_documents_are_passed() {
    for text in [
        "#!/bin/sh\npackages: curl\n",
        "## template: jinja\n#cloud-config\npackages: curl\n",
        "#cloud-config-jsonp\n[]",
        "#include\nhttp://x/\n",
        "",
        "#cloud-config\n",
    ] {
        assert_eq!(judged(text), Findings::default(), "{text:?}");
    }
    assert_eq!(findings(&[0x1f, 0x8b, 8, 0, 0xff], None), Findings::default());
}

proptest! {
    #[test]
    fn any_mapping_is_looked_at_without_a_panic(text in "(packages|users|write_files|x)?:? ?[-\\[\\]{}:,&*! |>a-z0-9\n\"']{0,160}") {
        for first in ["#cloud-config\n", "#cloud-config-archive\n", "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=a\n\n--a\n"] {
            let judged = findings(format!("{first}{text}").as_bytes(), None);
            prop_assert!(judged.problems().len() <= 21);
        }
    }
}
