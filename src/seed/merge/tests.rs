//! What is shown; that cloud-init's own code ends with the same is a system test.

use super::*;

fn merged(site: &str, template: &str, user: &str) -> String {
    let text = shown(
        "web1",
        Documents {
            site: site.as_bytes(),
            template: template.as_bytes(),
            user: user.as_bytes(),
        },
    );
    assert!(
        serde_yaml::from_str::<Option<serde_yaml::Mapping>>(&text).is_ok(),
        "{text}"
    );
    text
}

const TEMPLATE: &str = "#cloud-config-archive\n- type: text/cloud-config\n  content: |\n    #cloud-config\n    hostname: web1\n    timezone: UTC\n    ntp: {enabled: yes}\n- type: text/cloud-boothook\n  content: '#!/bin/sh'\n- type: text/x-shellscript\n  content: '#!/bin/sh'\n";

#[test]
fn each_setting_is_shown_with_whose_it_is_and_what_runs_in_its_order() {
    let site = "#cloud-config\ntimezone: Europe/Paris\nlocale: C.UTF-8\nusers: [ops]\n";
    let user = "#cloud-config-archive\n- |\n  #cloud-config\n  users: [me]\n  ntp: {servers: [a]}\n  runcmd: [echo]\n- '#!/bin/sh'\n- '#cloud-boothook'\n";
    assert_eq!(
        merged(site, TEMPLATE, user),
        "#cloud-config\n\
         # What cloud-init of web1 ends with, as it merges the site, the template and the user-data itself. The settings of\n\
         # the image (/etc/cloud) come under these.\n\
         \n# from the user-data\nusers:\n- me\n\
         \n# from the template and the user-data\nntp:\n  servers:\n  - a\n  enabled: yes\n\
         \n# from the user-data\nruncmd:\n- echo\n\
         \n# from the template\ntimezone: UTC\n\
         \n# from the site\nlocale: C.UTF-8\n\
         \n# from the template\nhostname: web1\n\
         \n# What runs, in this order:\n\
         # 1. early in every boot: boothook part-003 of the user-data (15 bytes)\n\
         # 2. early in every boot: boothook part-003 of the template (9 bytes)\n\
         # 3. late in the first boot: script part-004 of the template (9 bytes)\n\
         # 4. late in the first boot: script part-002 of the user-data (9 bytes)\n\
         # 5. late in the first boot: runcmd of the user-data\n"
    );
}

#[test]
fn what_is_not_followed_is_told() {
    let site = "#cloud-config-archive\n- '#include http://10.77.0.1/x'\n- \"## template: jinja\\n#cloud-config\\na: b\"\n- '#cloud-config-jsonp []'\n- \"#cloud-config\\n- x\"\n- \"#cloud-config\\nmerge_how: nonsense\\na: b\"\n";
    let text = merged(site, TEMPLATE, "#cloud-config\na: !vault x\n");
    for note in [
        "# Not followed: part-001 of the site: the guest fetches what it names\n",
        "# Not followed: part-002 of the site: the guest fills it in (jinja)\n",
        "# Not followed: part-003 of the site: it patches the settings",
        "# Not followed: part-004 of the site: it is no mapping",
        "# Not followed: part-005 of the site: `nonsense` is no way to merge\n",
        "# Not followed: part-001 of the user-data: it has the tag !vault\n",
    ] {
        assert!(text.contains(note), "{note}{text}");
    }
    let compressed = shown(
        "web1",
        Documents {
            site: &[0x1f, 0x8b, 8],
            template: b"",
            user: b"",
        },
    );
    assert!(
        compressed.contains("part-001 of the site: it is compressed"),
        "{compressed}"
    );
}

#[test]
fn a_cloud_config_that_can_not_be_followed_is_told_and_not_guessed() {
    let line = |n: usize| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(","));
    let bomb = (1..9).map(line).collect::<String>();
    for (user, says) in [
        ("a: [b\n", "it is no YAML"),
        ("a: 1\n---\nb: 1\n", "it is more than one YAML document"),
        ("a: {b: [!vault x]}\n", "it has the tag !vault"),
        ("a: !!set {x}\n", "it has the tag"),
        ("a: &a [*a]\n", "an alias stands for what it is in itself"),
        (
            "a: {<<: text}\n",
            "a merge key names something else than mappings",
        ),
        (
            &format!("a0: &a0 x\n{bomb}"),
            "it stands for more values than are followed",
        ),
        (&format!("a: {}", "[".repeat(200)), ""),
    ] {
        let text = merged("", "", &format!("#cloud-config\n{user}"));
        let note = format!("# Not followed: part-001 of the user-data: {says}");
        assert!(text.contains(&note) && !text.contains("# from"), "{text}");
    }
    let nothing = merged("", "", "#cloud-config\n# nothing\n");
    assert!(!nothing.contains("# Not followed"), "{nothing}");
}

#[test]
fn a_user_switches_vendor_data_off_as_a_whole_or_by_kind() {
    let off = merged("", TEMPLATE, "#cloud-config\nvendor_data: {enabled: false}\n");
    assert!(
        off.contains("switches vendor-data off") && !off.contains("hostname") && !off.contains("What runs"),
        "{off}"
    );
    let some = merged(
        "",
        TEMPLATE,
        "#cloud-config\nvendor_data: {disabled_handlers: [text/x-shellscript]}\n",
    );
    assert!(
        some.contains("hostname: web1") && !some.contains("script part"),
        "{some}"
    );
}
