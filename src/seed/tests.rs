//! What a guest is served, byte for byte, and that nothing in a record can break it.

use proptest::prelude::*;
use serde_yaml::Value;

use super::*;
use crate::model::examples::{self, KEY, OTHER_KEY};
use crate::model::image::View;
use crate::model::{Custom, HostKey, Hosting, Secret, SiteSecret, User};

pub(crate) fn network(subnet: &str) -> Network {
    examples::network("lab", subnet)
}

pub(crate) fn vm(name: &str, address: &str) -> Vm {
    Vm {
        keys: vec![KEY.parse().unwrap()].into(),
        ..examples::vm(name, address)
    }
}

fn with_swap(mut vm: Vm) -> Vm {
    vm.hosting = Hosting::from(examples::machine());
    vm
}

fn seed(vm: &Vm, network: &Network) -> Seed {
    documents(&Templates::load(None).unwrap(), vm, network, None).unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

const PHONE_HOME: &str = r#"phone_home:
  url: "http://10.77.0.1/phone-home"
  post: [pub_key_rsa, pub_key_ecdsa, pub_key_ed25519, instance_id, hostname, fqdn]
  tries: 10
"#;
const NAMES: &str = r#"#cloud-config
hostname: "web1"
fqdn: "web1.lab"
prefer_fqdn_over_hostname: false
manage_etc_hosts: true
ssh_deletekeys: true
"#;
const SWAP: &str = r#"# The second disk is formatted already: it only has to be used.
swap="/dev/disk/by-id/virtio-swap"
if [ -b "$swap" ]; then
    grep -qs "^$swap " /etc/fstab || echo "$swap none swap sw,nofail 0 0" >>/etc/fstab
    swapon "$swap" 2>/dev/null
fi
"#;
const RESOLVED: &str = r#"wanted=$(printf '[Resolve]\nDNS=%s\nDomains=%s' "10.77.0.1" "lab")
"#;

/// The parts of an archive by type, in order.
fn parts(archive: &[u8]) -> Vec<(String, String)> {
    let text = text(archive);
    assert!(text.starts_with("#cloud-config-archive\n"), "{text}");
    let field = |part: &Value, name: &str| part[name].as_str().unwrap().to_owned();
    let parts = yaml(text);
    let parts = parts.as_sequence().unwrap().iter();
    parts
        .map(|part| (field(part, "type"), field(part, "content")))
        .collect()
}

#[test]
fn a_vm_without_swap_is_served_exactly_this() {
    let seed = seed(&vm("web1", "10.77.0.5"), &network("10.77.0.1/24"));
    assert_eq!(
        text(&seed.meta_data),
        format!(
            "instance-id: \"7573fe52-e13e-82a6-a9ae-40fb6a351c25\"\n\
             local-hostname: \"web1.lab\"\n\
             hostname: \"web1.lab\"\n\
             public-keys:\n  - \"{KEY}\"\n"
        )
    );
    let parts = parts(&seed.vendor_data);
    assert_eq!(
        parts[0],
        ("text/cloud-config".to_owned(), format!("{NAMES}{PHONE_HOME}"))
    );
    assert_eq!((parts.len(), parts[1].0.as_str()), (3, "text/cloud-boothook"));
    assert!(parts[1].1.starts_with("#!/bin/sh\n# systemd-networkd") && parts[1].1.contains(RESOLVED));
    assert_eq!((seed.user_data.len(), seed.network_config.len()), (0, 0));
}

#[test]
fn a_vm_with_a_swap_disk_and_time_servers_is_served_exactly_this() {
    let mut network = network("10.77.0.1/24");
    network.dhcp.settings.ntp = vec!["10.77.0.1".parse().unwrap(), "10.77.0.2".parse().unwrap()];
    let seed = seed(&with_swap(vm("web1", "10.77.0.5")), &network);
    let ntp = "ntp:\n  enabled: true\n  servers: [\"10.77.0.1\", \"10.77.0.2\"]\n";
    let parts = parts(&seed.vendor_data);
    assert_eq!(parts[0].1, format!("{NAMES}{ntp}{PHONE_HOME}"));
    assert!(parts[1].1.starts_with(&format!("#!/bin/sh\n{SWAP}")) && parts[1].1.contains(RESOLVED));
}

fn of_template(name: &str, mut vm: Vm, subnet: &str) -> Vec<(String, String)> {
    vm.template = name.parse().unwrap();
    parts(&seed(&vm, &network(subnet)).vendor_data)
}

#[test]
fn every_script_of_a_template_is_sound() {
    for name in ["default", "docker-host", "ci-runner"] {
        let parts = of_template(name, with_swap(vm("web1", "10.77.0.5")), "10.77.0.1/24");
        let scripts = parts.into_iter().filter(|(kind, _)| kind != "text/cloud-config");
        for (kind, script) in scripts {
            assert!(script.starts_with("#!/bin/sh\n"), "{name}: {kind}: {script}");
            sound(&["sh", "-n", "-c", &script]);
            let found = std::process::Command::new("shellcheck").arg("--version").output();
            if found.is_ok() {
                let file = tempfile::NamedTempFile::new().unwrap();
                std::fs::write(file.path(), &script).unwrap();
                sound(&["shellcheck", "--exclude=SC2015", file.path().to_str().unwrap()]);
            }
        }
    }
}

#[track_caller]
fn sound(words: &[&str]) {
    let checked = std::process::Command::new(words[0])
        .args(&words[1..])
        .output()
        .unwrap();
    let said = [checked.stdout, checked.stderr].concat();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn a_template_that_builds_on_default_sets_no_key_that_a_user_sets() {
    let vm = || with_swap(vm("web1", "10.77.0.5"));
    let default = of_template("default", vm(), "10.77.0.1/24");
    for (name, more) in [
        ("docker-host", &["text/x-shellscript"][..]),
        ("ci-runner", &["text/cloud-boothook", "text/x-shellscript"]),
    ] {
        let parts = of_template(name, vm(), "10.77.0.1/24");
        let (same, own) = parts.split_at(default.len());
        assert_eq!(same, default, "{name}");
        let kinds: Vec<_> = own.iter().map(|(kind, _)| kind.as_str()).collect();
        assert_eq!(kinds, more, "{name}");
    }
    let set = yaml(&default[0].1);
    for key in ["packages", "runcmd", "write_files", "users"] {
        assert!(set.get(key).is_none(), "{key}");
    }
}

#[test]
fn dockers_own_networks_do_not_clash_with_the_vms() {
    let pool = |subnet: &str, address: &str| {
        let parts = of_template("docker-host", vm("web1", address), subnet);
        let script = parts.last().unwrap().1.clone();
        let (_, rest) = script.split_once("<<'END'\n").unwrap();
        let (config, _) = rest.split_once("END\n").unwrap();
        let config: serde_json::Value = serde_json::from_str(config).unwrap();
        assert_eq!(config["log-opts"]["max-size"], "10m");
        config["default-address-pools"][0]["base"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(pool("10.77.0.1/24", "10.77.0.5"), "172.30.0.0/15");
    assert_eq!(pool("10.0.0.1/8", "10.77.0.5"), "172.30.0.0/15");
    assert_eq!(pool("192.168.7.1/24", "192.168.7.5"), "172.30.0.0/15");
    assert_eq!(pool("172.16.0.1/12", "172.30.0.5"), "10.200.0.0/15");
}

#[test]
fn the_images_default_user_may_use_docker_where_it_is_known() {
    let script = |image: Option<&crate::model::Image>| {
        let mut vm = with_swap(vm("web1", "10.77.0.5"));
        vm.template = "docker-host".parse().unwrap();
        let network = network("10.77.0.1/24");
        let seed = documents(&Templates::load(None).unwrap(), &vm, &network, image).unwrap();
        parts(&seed.vendor_data).pop().unwrap().1
    };
    assert!(script(Some(&examples::image())).contains("user=\"debian\"\n"));
    assert!(!script(None).contains("usermod"));
}

#[test]
fn the_minimal_template_names_the_vm_and_calls_home() {
    let mut vm = vm("web1", "10.77.0.5");
    vm.template = "minimal".parse().unwrap();
    let seed = seed(&vm, &network("10.77.0.1/24"));
    assert_eq!(
        text(&seed.vendor_data),
        format!("#cloud-config\nhostname: \"web1\"\nfqdn: \"web1.lab\"\n{PHONE_HOME}")
    );
}

#[test]
fn all_that_the_templates_make_is_known_to_cloud_init() {
    for template in ["default", "minimal"] {
        for mut vm in [with_access(), with_swap(vm("web1", "10.77.0.5"))] {
            vm.template = template.parse().unwrap();
            let seed = seed(&vm, &network("10.77.0.1/24"));
            assert_eq!(
                findings(&seed.vendor_data, None),
                Findings::default(),
                "{template}"
            );
        }
    }
}

/// A VM with an account of each kind, and a host key of ours.
fn with_access() -> Vm {
    let vm = vm("web1", "10.77.0.5");
    let mut custom = Custom::default();
    let ann = User {
        sudo: true,
        groups: vec!["docker".parse().unwrap(), "adm".parse().unwrap()],
        shell: Some("/bin/zsh".parse().unwrap()),
        password: Some(HASH.parse().unwrap()),
        keys: vec![OTHER_KEY.parse().unwrap()].into(),
        ..User::named("ann".parse().unwrap())
    };
    custom.access.users = vec![ann, User::named("ben".parse().unwrap())];
    custom.access.host_key = Some(HostKey::derive(&SiteSecret::of([7; 32]), vm.uuid));
    Vm {
        custom: custom.boxed(),
        ..vm
    }
}

const HASH: &str = "$6$rounds=1000$saltsaltsaltsalt$HYRyw4Of/jYLZbv36GVJlJxhVvg8r4C5NfnkJ1dV0M7gF";

#[test]
fn accounts_and_host_keys_are_what_cloud_init_makes_of_both_templates() {
    for template in ["default", "minimal"] {
        let mut vm = with_access();
        vm.template = template.parse().unwrap();
        let seed = seed(&vm, &network("10.77.0.1/24"));
        let config = if template == "default" {
            parts(&seed.vendor_data).remove(0).1
        } else {
            text(&seed.vendor_data).to_owned()
        };
        let config = yaml(&config);
        let users = yaml(&format!(
            r#"
- default
- name: ann
  ssh_authorized_keys: ["{OTHER_KEY}"]
  groups: [docker, adm]
  sudo: "ALL=(ALL) NOPASSWD:ALL"
  shell: /bin/zsh
  lock_passwd: false
  hashed_passwd: "{HASH}"
- name: ben
  ssh_authorized_keys: ["{KEY}"]
"#
        ));
        assert_eq!(config["users"], users, "{template}");
        let made = vm.access().unwrap().host_key.clone().unwrap();
        let keys = &config["ssh_keys"];
        assert_eq!(
            keys["ed25519_private"].as_str(),
            Some(made.private().expose().as_str())
        );
        assert_eq!(keys["ed25519_public"].as_str(), Some(vm.host_keys()[0].as_str()));
        assert_eq!(keys.as_mapping().unwrap().len(), 2);
    }
}

#[test]
fn a_seed_that_is_looked_at_has_a_word_in_the_place_of_each_secret() {
    let (vm, network) = (with_access(), network("10.77.0.1/24"));
    let templates = Templates::load(None).unwrap();
    let shown = concealed_documents(&templates, &vm, &network, None)
        .unwrap()
        .render_text();
    assert_eq!(shown.matches("\"(secret)\"").count(), 2, "{shown}");
    for hidden in [HASH, "PRIVATE KEY"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
    assert!(!format!("{:?}", Facts::of(&vm, &network, None)).contains("PRIVATE KEY"));
}

#[test]
fn a_users_user_data_is_served_byte_for_byte() {
    let mut vm = vm("web1", "10.77.0.5");
    vm.user_data = Some(Arc::from(&b"#!/bin/sh\r\n\xff\0"[..]));
    assert_eq!(
        &*seed(&vm, &network("10.77.0.1/24")).user_data,
        b"#!/bin/sh\r\n\xff\0"
    );
}

#[test]
fn the_serial_is_the_spelling_every_cloud_init_reads() {
    let network = network("10.77.0.1/24");
    assert_eq!(
        smbios(View::Auto, &network, None),
        super::smbios::Smbios {
            serial: "ds=nocloud-net;s=http://10.77.0.1/nocloud/".to_owned(),
            product: "OpenStack Nova",
        }
    );
    assert_eq!(smbios(View::NoCloud, &network, None).product, "");
    assert_eq!(
        smbios(View::Cidata, &network, None),
        super::smbios::Smbios::default()
    );
    assert_eq!(url(&network), "http://10.77.0.1/nocloud/");
}

#[test]
fn a_missing_template_is_told_with_those_there_are() {
    let mut vm = vm("web1", "10.77.0.5");
    vm.template = "site".parse().unwrap();
    let error = documents(
        &Templates::load(None).unwrap(),
        &vm,
        &network("10.77.0.1/24"),
        None,
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "web1: there is no template `site`; there are ci-runner, default, docker-host, minimal"
    );
}

#[test]
fn every_fact_is_documented_in_the_default_template() {
    let header = include_str!("../../seed-templates/default.yaml");
    for name in Facts::sample().context().try_iter().unwrap() {
        let line = format!("\n  {name} ");
        assert!(header.contains(&line), "{name} is missing");
    }
}

#[test]
fn the_shown_seed_has_every_document_under_its_name() {
    let shown = seed(&vm("web1", "10.77.0.5"), &network("10.77.0.1/24")).render_text();
    let heads: Vec<_> = shown.lines().filter(|line| line.starts_with("=== ")).collect();
    assert_eq!(heads.len(), 4);
    assert!(heads[1].starts_with("=== user-data (0 bytes)"), "{heads:?}");
}

#[test]
fn a_secret_is_there_by_its_name_and_none_where_it_is_withheld() {
    let mut templates = Templates::load(None).unwrap();
    let source = "#cloud-config\n{% if secrets.db %}\npassword: {{ secrets.db }}\n{% endif %}\n";
    templates
        .add(
            "confident".parse().unwrap(),
            Origin::File("confident.yaml".into()),
            source.to_owned(),
        )
        .unwrap();
    templates.prove().unwrap();
    let vendor_data = |mut vm: Vm| {
        vm.template = "confident".parse().unwrap();
        documents(&templates, &vm, &network("10.77.0.1/24"), None)
            .map(|seed| text(&seed.vendor_data).to_owned())
    };
    let vm = crate::model::release::tests::confident("web1", "10.77.0.5");
    assert_eq!(
        vendor_data(vm.clone()).unwrap(),
        "#cloud-config\npassword: \"hunter2-db\"\n"
    );
    assert_eq!(vendor_data(vm.without_secrets()).unwrap(), "#cloud-config\n");
    // One that nobody gave is found out before a guest asks for it.
    let error = vendor_data(super::tests::vm("web2", "10.77.0.6"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("confident.yaml:2") && error.contains("secrets.db"),
        "{error}"
    );
}

fn yaml(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn hostile_looking_values_stay_values() {
    for hostile in [
        "a\": b",
        "'",
        "{{ x }}",
        "{% x %}",
        "%",
        "# c",
        "- x",
        "yes",
        "0x10",
        "\\",
        "\u{2028}",
        "\u{85}",
        "\u{7f}",
        "\u{feff}",
        "\u{fffe}",
        "\n",
        "\0",
        "\u{1f600}",
        "null",
        "!!binary x",
        "&a",
        "*a",
        "",
    ] {
        let facts = Facts {
            keys: vec![hostile.to_owned()],
            fqdn: hostile.to_owned(),
            ..Facts::sample()
        };
        let read = yaml(&render::meta_data(&facts));
        assert_eq!(read["public-keys"][0].as_str(), Some(hostile));
        assert_eq!(read["local-hostname"].as_str(), Some(hostile));
        let vendor = Templates::load(None)
            .unwrap()
            .render(&"default".parse().unwrap(), &facts);
        let settings = parts(vendor.unwrap().as_bytes()).remove(0).1;
        assert_eq!(yaml(&settings)["fqdn"].as_str(), Some(hostile));
    }
}

proptest! {
    #[test]
    fn nothing_in_an_account_or_a_host_key_can_break_the_document(
        texts in proptest::collection::vec(any::<String>(), 6),
        sudo: bool,
    ) {
        let mut facts = Facts::sample();
        let [name, group, shell, hash, key, private] = texts.as_slice() else { unreachable!() };
        let (shell, hash) = (format!("/{shell}"), format!("${hash}"));
        let user = &mut facts.users[0];
        user.name.clone_from(name);
        user.groups = vec![group.clone()];
        user.shell = Some(shell.clone());
        user.hashed_passwd = Some(Secret::new(hash.clone()));
        user.keys = vec![key.clone()];
        user.sudo = sudo;
        facts.host_keys[0].private = Secret::new(private.clone());
        let templates = Templates::load(None).unwrap();
        for template in ["default", "minimal"] {
            let text = templates.render(&template.parse().unwrap(), &facts).unwrap();
            let config = if template == "default" { parts(text.as_bytes()).remove(0).1 } else { text };
            let config = yaml(&config);
            let user = &config["users"][1];
            prop_assert_eq!(user["name"].as_str(), Some(name.as_str()));
            prop_assert_eq!(user["groups"][0].as_str(), Some(group.as_str()));
            prop_assert_eq!(user["shell"].as_str(), Some(shell.as_str()));
            prop_assert_eq!(user["hashed_passwd"].as_str(), Some(hash.as_str()));
            prop_assert_eq!(user["ssh_authorized_keys"][0].as_str(), Some(key.as_str()));
            prop_assert_eq!(user["sudo"].is_string(), sudo);
            let private_read = config["ssh_keys"]["ed25519_private"].as_str();
            prop_assert_eq!(private_read, Some(private.as_str()));
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_read_back_as_it_was(text in any::<String>()) {
        let quoted = render::quoted(&text);
        let read = yaml(&quoted);
        prop_assert_eq!(read.as_str(), Some(text.as_str()));
        let json: String = serde_json::from_str(&quoted).unwrap();
        prop_assert_eq!(json, text);
    }
}
