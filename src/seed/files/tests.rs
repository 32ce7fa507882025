//! Tests of `files.rs`.

use super::*;

fn loaded(name: &str, source: &str) -> Result<Templates, String> {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(name), source).unwrap();
    Templates::load(Some(directory.path())).map_err(|error| error.to_string())
}

#[test]
fn an_operators_template_replaces_the_built_in_one_of_its_name() {
    let templates = loaded("default.yaml", "#cloud-config\ntimezone: UTC\n").unwrap();
    let text = templates
        .render(&"default".parse().unwrap(), &super::super::Facts::bare())
        .unwrap();
    assert_eq!(text, "#cloud-config\ntimezone: UTC\n");
    assert!(templates.has(&"minimal".parse().unwrap()));
}

#[test]
fn a_broken_template_is_refused_with_file_line_and_reason() {
    for (source, line, says) in [
        (
            "#cloud-config\nhostname: {{ hostnam }}\n",
            "site.yaml:2",
            "did you mean `hostname`?",
        ),
        (
            "#cloud-config\n{% if false %}\nx: {{ colour }}\n{% endif %}\n",
            "site.yaml:3",
            "`colour` is an unknown fact",
        ),
        (
            "#cloud-config\n{% for user in users %}\n# {{ user.nick }}\n{% endfor %}\n",
            "site.yaml:3",
            "undefined",
        ),
        (
            "#cloud-config\n\n{% if swap_device %}\n",
            "site.yaml:3",
            "unexpected end",
        ),
        (
            "#cloud-config\n{% if keys %}x: {{ keys | upper }}\n{% endif %}\n",
            "site.yaml:2",
            "unknown filter",
        ),
        ("hostname: {{ hostname }}\n", "", "#cloud-config"),
        ("#cloud-config\n- {{ hostname }}\n", "", "a list"),
        (
            "#cloud-config\nx: \"http://{{ gateway }}/\"\n",
            "line 2",
            "expected",
        ),
        ("#cloud-config\nx: '{{ keys[0] | safe }}'\n", "line 2", ""),
    ] {
        let error = loaded("site.yaml", source).unwrap_err();
        assert!(error.contains("site.yaml"), "{error}");
        assert!(
            error.contains(line) && error.contains(says),
            "{source:?}: {error}"
        );
    }
}

#[test]
fn a_template_includes_built_in_ones_and_those_beside_it() {
    let own = "{% include \"built-in/default\" %}\n- type: text/x-shellscript\n  content: |\n    #!/bin/sh\n";
    let templates = loaded("default.yaml", own).unwrap();
    let facts = super::super::Facts::sample();
    let rendered = |name: &str| templates.render(&name.parse().unwrap(), &facts).unwrap();
    let plain = Templates::load(None)
        .unwrap()
        .render(&"default".parse().unwrap(), &facts)
        .unwrap();
    assert_eq!(
        rendered("default"),
        format!("{plain}- type: text/x-shellscript\n  content: |\n    #!/bin/sh\n")
    );
    // What is built in goes on as it was.
    assert!(rendered("docker-host").starts_with(&plain));
}

#[test]
fn an_include_reaches_no_file_and_is_as_strict_as_the_rest() {
    for (source, says) in [
        ("{% include \"/etc/passwd\" %}\n", "/etc/passwd"),
        ("{% include \"../site.yaml\" %}\n", "../site.yaml"),
        ("{% include \"site.yaml\" %}\n", "site.yaml"),
        ("{% include hostname %}\n", "sample"),
        // Itself, without an end.
        ("#cloud-config\n{% include \"site\" %}\n", "site.yaml"),
        (
            "{% import \"built-in/minimal\" as x %}#cloud-config\n{{ x.y }}",
            "site.yaml",
        ),
    ] {
        let error = loaded("site.yaml", source).unwrap_err();
        assert!(
            error.contains(says) && error.contains("site.yaml"),
            "{source}: {error}"
        );
    }
}

#[test]
fn what_is_wrong_in_an_included_template_is_told_of_that_one() {
    let directory = tempfile::tempdir().unwrap();
    let put = |name: &str, source: &str| std::fs::write(directory.path().join(name), source).unwrap();
    put("a.yaml", "{% include \"b\" %}\n");
    put("b.yaml", "#cloud-config\n\nx: {{ hostnam }}\n");
    let error = Templates::load(Some(directory.path())).unwrap_err().to_string();
    assert!(error.contains("b.yaml:3"), "{error}");
}

#[test]
fn a_change_is_tried_beside_what_is_there_and_nothing_is_written() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a.yaml"), "{% include \"b\" %}").unwrap();
    std::fs::write(directory.path().join("b.yaml"), "#cloud-config\n").unwrap();
    let drafted = |draft: &Draft| Templates::drafted(Some(directory.path()), Some(draft));
    let put = |source: &str| Draft::Put {
        name: "b".parse().unwrap(),
        source: source.to_owned(),
        file: PathBuf::from("mine/b.yaml"),
    };
    let name = "b".parse().unwrap();
    let with = drafted(&put("#cloud-config\ntimezone: UTC\n")).unwrap();
    assert_eq!(
        with.source(&name).as_deref(),
        Some("#cloud-config\ntimezone: UTC\n")
    );
    let broken = drafted(&put("#cloud-config\nx: {{ y }}\n"))
        .unwrap_err()
        .to_string();
    assert!(broken.contains("mine/b.yaml:2"), "{broken}");
    // What another one includes can not go.
    let gone = drafted(&Draft::Without(name.clone())).unwrap_err().to_string();
    assert!(gone.contains("a.yaml:1") && gone.contains("'b'"), "{gone}");
    let now = Templates::load(Some(directory.path())).unwrap();
    assert_eq!(now.source(&name).as_deref(), Some("#cloud-config\n"));
}

#[test]
fn the_sites_vendor_data_is_read_and_checked_with_the_file_in_the_message() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("site");
    let load = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let networks = BTreeMap::from([("lab".parse().unwrap(), path.clone())]);
        Site::load(None, &networks).map_err(|error| error.to_string())
    };
    let site = load("#cloud-config\ntimezone: UTC\n").unwrap();
    let lab = "lab".parse().unwrap();
    assert_eq!(site.of(&lab), Some(&b"#cloud-config\ntimezone: UTC\n"[..]));
    let error = load("#cloud-config\n- x\n").unwrap_err();
    assert!(error.contains("site: it is a list"), "{error}");
    let error = Site::load(Some(Path::new("/nonexistent/site")), &BTreeMap::new()).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/site"), "{error}");
}

#[test]
fn a_file_is_checked_without_a_daemon_beside_those_around_it() {
    let directory = tempfile::tempdir().unwrap();
    let put = |name: &str, source: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, source).unwrap();
        path
    };
    put("base.yaml", "#cloud-config\n");
    put("broken.yaml", "{{");
    let said = |path: &Path| check(path).map_err(|error| error.to_string());
    assert_eq!(
        said(&put("site.yaml", "{% include \"base\" %}\nx: {{ mac }}\n")),
        Ok(())
    );
    let error = said(&put("other.yaml", "{% include \"broken\" %}")).unwrap_err();
    assert!(error.contains("other.yaml:1"), "{error}");
    let error = said(&put("boot.ipxe", "#!ipxe\nchain {{ chain_url }}\n")).unwrap_err();
    assert!(error.contains("boot.ipxe:2"), "{error}");
    let error = said(&put("boot.ipxe", "#!ipxe\n# {{ gatewy }}\n")).unwrap_err();
    assert!(
        error.contains("boot.ipxe:2") && error.contains("`gateway`"),
        "{error}"
    );
    assert_eq!(said(&put("boot.ipxe", "#!ipxe\n# {{ gateway }}\n")), Ok(()));
}

#[test]
fn a_file_that_can_not_be_a_template_is_named() {
    let error = loaded("My_Site.yaml", "#cloud-config\n").unwrap_err();
    assert!(
        error.contains("My_Site.yaml") && error.contains("RFC 1123"),
        "{error}"
    );
    let error = loaded("large.yaml", &"#".repeat(MAX_TEMPLATE + 1)).unwrap_err();
    assert!(error.contains("large.yaml"), "{error}");
    let error = Templates::load(Some(Path::new("/nonexistent/templates"))).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/templates"), "{error}");
}

#[test]
fn other_files_beside_templates_are_left_alone() {
    for name in ["README", "default.yaml~", ".hidden.yaml", "notes.txt"] {
        assert!(loaded(name, "{{ not a template").is_ok(), "{name}");
    }
}
