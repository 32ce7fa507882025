//! Templates while the daemon runs: added, edited by hand, broken, taken away, and what guests are served meanwhile.

use std::time::Duration;

use crate::cloud_init::machine;
use crate::lab::{Client, Lab, eventually};
use crate::root;

const SITE: &str = "{% include \"built-in/default\" %}\n- type: text/x-shellscript\n  content: |\n    #!/bin/sh\n    echo first {{ hostname }}\n";

fn served(client: &Client) -> String {
    client
        .run(&["curl", "-sf", "http://10.77.0.1/nocloud/vendor-data"])
        .ok()
}

fn wrapped(client: &Client) -> String {
    let url = "http://169.254.169.254/openstack/latest/vendor_data.json";
    let json: serde_json::Value = serde_json::from_str(&client.run(&["curl", "-sf", url]).ok()).unwrap();
    json["cloud-init"].as_str().unwrap().to_owned()
}

#[test]
fn a_running_daemon_takes_templates_without_a_restart() {
    if !root() {
        return;
    }
    let mut lab = Lab::new();
    let (client, _) = machine(&mut lab);
    let pid = lab.daemon_pid();
    let built_in = lab.seedbed(&["template", "show", "default"]).ok();
    assert_eq!(built_in, include_str!("../../seed-templates/default.yaml"));
    let before = served(&client);

    let file = lab.path("mine.yaml");
    std::fs::write(&file, SITE).unwrap();
    let file = file.to_str().unwrap();
    let said = lab.seedbed(&["template", "add", file, "--name", "default"]).ok();
    assert!(
        said.contains("in place of the one that is built in; 1 VM is served it from now on"),
        "{said}"
    );
    assert_eq!(lab.seedbed(&["template", "show", "default"]).ok(), SITE);
    let more = "- type: text/x-shellscript\n  content: |\n    #!/bin/sh\n    echo first \"web1\"\n";
    assert_eq!(served(&client), format!("{before}{more}"));
    assert_eq!(wrapped(&client), served(&client));

    // What is built in comes back.
    let said = lab.seedbed(&["template", "rm", "default"]).ok();
    assert!(said.contains("built in is in force again"), "{said}");
    assert_eq!(served(&client), before);
    lab.seedbed(&["template", "rm", "default"])
        .refused(1, &["default is built in"]);
    assert_eq!(lab.daemon_pid(), pid);
}

#[test]
fn files_that_were_edited_by_hand_are_taken_when_the_daemon_is_told_and_broken_ones_never() {
    if !root() {
        return;
    }
    let mut lab = Lab::new();
    let (client, _) = machine(&mut lab);
    let before = served(&client);
    let own = lab.path("state/templates/default.yaml");
    std::fs::write(&own, SITE.replace("first", "second")).unwrap();
    assert_eq!(served(&client), before);
    let said = lab.seedbed(&["template", "reload"]).ok();
    assert!(said.contains("1 of ") && said.contains("3 built in"), "{said}");
    assert!(served(&client).contains("echo second"));
    std::fs::write(&own, SITE.replace("first", "third")).unwrap();
    let hangup = lab.daemon_pid().to_string();
    client.run(&["kill", "-HUP", &hangup]).ok();
    assert!(eventually(Duration::from_secs(60), || served(&client).contains("echo third")));

    // A broken one is told, and changes nothing.
    std::fs::write(&own, SITE.replace("hostname", "hostnam")).unwrap();
    let says = [
        "default.yaml:5",
        "did you mean `hostname`?",
        "nothing has changed",
    ];
    lab.seedbed(&["template", "reload"]).refused(1, &says);
    client.run(&["kill", "-HUP", &hangup]).ok();
    assert!(eventually(Duration::from_secs(60), || {
        lab.daemon_log()
            .contains("guests are served what they were before")
    }));
    assert!(served(&client).contains("echo third"));
}

#[test]
fn a_template_that_vms_use_stays_and_a_change_is_all_or_nothing() {
    if !root() {
        return;
    }
    let mut lab = Lab::new();
    let file = lab.path("site.yaml");
    let path = file.to_str().unwrap().to_owned();
    std::fs::write(&file, "#cloud-config\ntimezone: {{ timezone }}\n").unwrap();
    let says = ["site.yaml:2", "`timezone` is an unknown fact"];
    lab.seedbed(&["template", "add", &path]).refused(1, &says);
    assert_eq!(lab.listing("state/templates"), Vec::<String>::new());

    std::fs::write(&file, "#cloud-config\ntimezone: UTC\n").unwrap();
    lab.seedbed(&["template", "add", &path]).ok();
    lab.seedbed(&["template", "add", &path])
        .refused(1, &["there is a template `site` of yours already", "--force"]);
    lab.seedbed(&["template", "add", &path, "--force"]).ok();
    lab.seedbed(&["add", "nas", "--mac", "52:54:00:aa:00:41", "--template", "site"])
        .ok();
    lab.seedbed(&["template", "rm", "site"])
        .refused(1, &["site is the template of nas"]);
    let shown = lab.seedbed(&["render", "nas", "--as", "nocloud"]).ok();
    assert!(shown.contains("timezone: UTC"), "{shown}");
    let listed: serde_json::Value =
        serde_json::from_str(&lab.seedbed(&["template", "list", "--format", "json"]).ok()).unwrap();
    let site = listed
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == "site")
        .unwrap();
    assert_eq!(site["used_by"][0], "nas");
    assert!(
        site["origin"]
            .as_str()
            .unwrap()
            .ends_with("state/templates/site.yaml")
    );

    // It is read at the next start too.
    lab.stop_daemon();
    lab.start_daemon();
    lab.seedbed(&["delete", "nas"]).ok();
    lab.seedbed(&["template", "rm", "site"]).ok();
    lab.seedbed(&["template", "show", "site"])
        .refused(3, &["there is no template `site`"]);
}
