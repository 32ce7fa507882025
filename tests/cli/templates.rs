//! Templates on the command line.

use std::path::PathBuf;

use seedbed::control::{AddTemplate, Answer, Request, TemplateInfo, TemplateRequest};

use crate::fake::{Fake, Run, seedbed};

fn template(name: &str, origin: &str, used_by: &[&str]) -> TemplateInfo {
    TemplateInfo {
        name: name.to_owned(),
        origin: origin.to_owned(),
        replaces_built_in: name == "default" && origin != "built-in",
        used_by: used_by.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn templates_are_listed_with_their_origin_and_how_many_vms_use_them() {
    let fake = Fake::new(|_, _| {
        Ok(Answer::Templates(vec![
            template(
                "default",
                "/etc/seedbed/templates/default.yaml",
                &["web1", "web2"],
            ),
            template("minimal", "built-in", &[]),
        ]))
    });
    insta::assert_snapshot!("template-list", fake.run(&["template", "list"]).answer());
    let json = fake.run(&["template", "ls", "--format", "json"]).answer();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["used_by"][1], "web2");
    assert_eq!(json[1]["origin"], "built-in");
    assert_eq!(fake.requests()[0], Request::Template(TemplateRequest::List));
}

#[test]
fn a_template_is_shown_to_the_last_octet() {
    let fake = Fake::new(|_, _| Ok(Answer::Text("#cloud-config\n\n".to_owned())));
    assert_eq!(fake.run(&["template", "show", "x"]).answer(), "#cloud-config\n\n");
}

#[test]
fn a_template_is_called_after_its_file_or_as_it_is_named() {
    let fake = Fake::new(|_, _| Ok(Answer::Done("site is in force; no VM uses it yet".to_owned())));
    let file = fake.directory().join("site.yaml");
    std::fs::write(&file, "#cloud-config\n").unwrap();
    let path = file.to_str().unwrap();
    fake.run(&["template", "add", path]).answer();
    fake.run(&["template", "add", path, "--name", "other", "--force"])
        .answer();
    let added = |name: &str, replace: bool| {
        Request::Template(TemplateRequest::Add(AddTemplate {
            name: name.to_owned(),
            source: "#cloud-config\n".to_owned(),
            file: file.clone(),
            replace,
        }))
    };
    assert_eq!(fake.requests(), [added("site", false), added("other", true)]);
    let nameless = fake.run(&["template", "add", "-"]);
    assert_eq!(nameless.code, 2, "{nameless:?}");
}

fn checked(files: &[(&str, &str)]) -> Run {
    let directory = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = files
        .iter()
        .map(|(name, source)| {
            let path = directory.path().join(name);
            std::fs::write(&path, source).unwrap();
            path
        })
        .collect();
    let mut args = vec!["template", "check"];
    args.extend(paths.iter().map(|path| path.to_str().unwrap()));
    Run::of(seedbed(directory.path(), &args))
}

#[test]
fn templates_are_checked_without_a_daemon() {
    let good = checked(&[
        ("site.yaml", "{% include \"built-in/default\" %}\n"),
        ("boot.ipxe", "#!ipxe\nchain http://{{ gateway }}/\n"),
    ])
    .answer();
    assert!(
        good.contains("site.yaml: good") && good.contains("boot.ipxe: good"),
        "{good}"
    );

    let one = checked(&[("site.yaml", "#cloud-config\n\nfqdn: {{ fqdnn }}\n")]);
    assert_eq!((one.code, one.stdout.as_str()), (1, ""));
    assert!(
        one.stderr
            .contains("site.yaml:3: `fqdnn` is an unknown fact; did you mean `fqdn`?"),
        "{one:?}"
    );

    let some = checked(&[
        ("good.yaml", "#cloud-config\n"),
        ("a.yaml", "#cloud-config\n{% if %}\n"),
        ("b.yaml", "packages: []\n"),
    ]);
    assert_eq!(some.code, 1);
    assert!(some.stdout.contains("good.yaml: good"), "{some:?}");
    for says in ["2 of 3 templates are broken", "a.yaml:2: ", "b.yaml renders to"] {
        assert!(some.stderr.contains(says), "{some:?}");
    }

    let missing = checked(&[]);
    assert_eq!(missing.code, 2, "{missing:?}");
}
