use super::*;
use crate::model::examples;

fn install(family: Family, mirror: Option<&str>) -> Install {
    Install {
        family,
        cmdline: String::new(),
        default_user: family.default_user().to_owned(),
        has_media: true,
        answers: Some(Answers {
            mirror: mirror.map(|mirror| mirror.parse().unwrap()),
        }),
    }
}

fn told(install: &Install, name: &str) -> Option<String> {
    let (vm, network) = (
        examples::vm("install-base", "10.77.0.5"),
        examples::network("lab", "10.77.0.1/24"),
    );
    let templates = Templates::load(None).unwrap();
    let (_, bytes) = answer(&templates, &vm, &network, install, name).unwrap()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[test]
fn each_installer_is_told_its_own_answers_and_no_others() {
    let names = [
        "preseed.cfg",
        "user-data",
        "meta-data",
        "vendor-data",
        "kickstart.cfg",
        "alpine.answers",
        "alpine.apkovl.tar.gz",
        "autoinstall.yaml",
        "",
    ];
    for (family, expected) in [
        (Family::Debian, &["preseed.cfg"][..]),
        (Family::Ubuntu, &["user-data", "meta-data", "vendor-data"]),
        (Family::RedHat, &["kickstart.cfg"]),
        (Family::Alpine, &["alpine.answers", "alpine.apkovl.tar.gz"]),
    ] {
        let there: Vec<_> = names
            .into_iter()
            .filter(|name| told(&install(family, None), name).is_some())
            .collect();
        assert_eq!(there, expected, "{family:?}");
    }
}

#[test]
fn an_installer_that_asks_at_the_console_is_told_nothing() {
    let asks = Install {
        answers: None,
        ..install(Family::Debian, None)
    };
    assert_eq!(told(&asks, "preseed.cfg"), None);
}

#[test]
fn every_system_can_be_a_base_and_powers_off() {
    for (family, name, wanted) in [
        (
            Family::Debian,
            "preseed.cfg",
            &[
                "pkgsel/include string cloud-init",
                "openssh-server",
                "debian-installer/exit/poweroff boolean true",
                "passwd/make-user boolean false",
                "get_hostname string install-base\n",
            ][..],
        ),
        (
            Family::Ubuntu,
            "user-data",
            &[
                "autoinstall:",
                "install-server: true",
                "shutdown: poweroff",
                "cloud-init",
            ],
        ),
        (
            Family::RedHat,
            "kickstart.cfg",
            &[
                "\ncloud-init\n",
                "\nopenssh-server\n",
                "\npoweroff\n",
                "rootpw --lock",
                "\ncdrom\n",
            ],
        ),
        (
            Family::Alpine,
            "alpine.answers",
            &["SSHDOPTS=\"-c openssh\"", "DISKOPTS=\"-s 0 -m sys /dev/vda\""],
        ),
    ] {
        let text = told(&install(family, None), name).unwrap();
        for part in wanted {
            assert!(text.contains(part), "{name} has no {part:?}:\n{text}");
        }
        assert!(
            name == "kickstart.cfg" || text.contains("ttyS0") || family == Family::Alpine,
            "{text}"
        );
    }
}

#[test]
fn a_mirror_is_where_packages_come_from() {
    let mirror = Some("http://10.77.0.9:3142/debian");
    for (family, name, wanted) in [
        (
            Family::Debian,
            "preseed.cfg",
            &[
                "http/hostname string 10.77.0.9:3142\n",
                "http/directory string /debian\n",
            ][..],
        ),
        (
            Family::Ubuntu,
            "user-data",
            &["uri: http://10.77.0.9:3142/debian\n"],
        ),
        (
            Family::RedHat,
            "kickstart.cfg",
            &["url --url=http://10.77.0.9:3142/debian\n"],
        ),
        (
            Family::Alpine,
            "alpine.answers",
            &["http://10.77.0.9:3142/debian/main "],
        ),
    ] {
        let text = told(&install(family, mirror), name).unwrap();
        for part in wanted {
            assert!(text.contains(part), "{name} has no {part:?}:\n{text}");
        }
    }
}

#[test]
fn a_preseed_has_no_line_that_the_installer_would_not_read() {
    let text = told(&install(Family::Debian, None), "preseed.cfg").unwrap();
    let mut goes_on = false;
    for line in text.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        let is_setting = words.len() >= 3 && ["d-i", "tasksel", "popularity-contest"].contains(&words[0]);
        assert!(
            goes_on || line.is_empty() || line.starts_with('#') || is_setting,
            "{line:?}"
        );
        goes_on = line.ends_with('\\');
    }
    assert!(!goes_on && text.ends_with('\n'));
}

#[test]
fn the_shell_reads_alpines_answers() {
    let text = told(&install(Family::Alpine, None), "alpine.answers").unwrap();
    let script = format!("set -eu\n{text}\necho \"$DISKOPTS|$ERASE_DISKS\"");
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "-s 0 -m sys /dev/vda|/dev/vda\n"
    );
}

#[test]
fn an_operators_template_replaces_the_built_in_one_and_is_tried_first() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("install")).unwrap();
    let loaded = |text: &str| {
        std::fs::write(folder.path().join("install/preseed.cfg"), text).unwrap();
        Templates::load(Some(folder.path())).map_err(|error| error.to_string())
    };
    let templates = loaded("d-i mirror/country string {{ mirror_host or gateway }}\n").unwrap();
    let (vm, network) = (
        examples::vm("x", "10.77.0.5"),
        examples::network("lab", "10.77.0.1/24"),
    );
    let bytes = shown(&templates, &vm, &network, &install(Family::Debian, None))
        .unwrap()
        .unwrap();
    assert_eq!(&*bytes, b"d-i mirror/country string 10.77.0.1\n");
    let error = loaded("\nx {{ gatewy }}\n").unwrap_err();
    assert!(
        error.contains("install/preseed.cfg:2") && error.contains("did you mean `gateway`"),
        "{error}"
    );
    let error = loaded("x {{ mirror }}\n").unwrap_err();
    assert!(
        error.contains("install/preseed.cfg:1") && error.contains("can not be printed"),
        "{error}"
    );
    let error = loaded("x {{ gateway ~ \"$(y)\" }}\n").unwrap_err();
    assert!(error.contains("more than a word"), "{error}");
}
