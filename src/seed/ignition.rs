//! Ignition configs: what Fedora `CoreOS`, Flatcar and their kin read once, before their first boot goes on. Pure.
//!
//! A VM's own config is passed as it is, byte for byte, after a look at its structure; without one, a VM gets its name and
//! its keys. Specification: <https://coreos.github.io/ignition/configuration-v3_0/> and its successors.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::model::{Image, Vm};

/// What is wrong with an Ignition config.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IgnitionProblem {
    /// It is no JSON, or a value is of another kind than the specification has there.
    #[error("line {line}, column {column}: {reason}")]
    Structure {
        /// Where the reader stopped, from 1.
        line: usize,
        /// Where in that line, from 1.
        column: usize,
        /// What was found and what was expected.
        reason: String,
    },
    /// A version that no Ignition of specification 3 reads.
    #[error(
        "ignition.version is `{0}`: use a version of specification 3, such as 3.0.0; `butane` turns older and \
         hand-written configs into one"
    )]
    Version(String),
    /// A path that is not absolute.
    #[error("{list}[{index}].path is `{path}`: a path has to begin at the root, with `/`")]
    Path {
        /// The list it is in.
        list: &'static str,
        /// Its place in the list, from 0.
        index: usize,
        /// The path.
        path: String,
    },
    /// The same name or path twice: Ignition refuses the whole config then.
    #[error("{list} has `{key}` twice: put both into one entry")]
    Twice {
        /// The list.
        list: &'static str,
        /// What is there twice.
        key: String,
    },
}

/// Whether a user-data means to be an Ignition config: a JSON object that names Ignition. No format of cloud-init begins with
/// a brace, but someone may have forgotten the first line of a cloud-config.
pub fn is_meant(user_data: &[u8]) -> bool {
    const KEY: &[u8] = b"\"ignition\"";
    user_data.trim_ascii_start().starts_with(b"{")
        && serde_json::from_slice::<Marked>(user_data).map_or_else(
            |_| user_data.windows(KEY.len()).any(|window| window == KEY),
            |marked| marked.ignition.is_some(),
        )
}

/// Anything that says it is one.
#[derive(Deserialize)]
struct Marked {
    ignition: Option<IgnoredAny>,
}

/// Checks the structure of a config: its version, the kinds of its values, absolute paths, and nothing twice. What only a
/// newer Ignition knows is left to that.
pub fn check(user_data: &[u8]) -> Result<(), IgnitionProblem> {
    let config: Config = serde_json::from_slice(user_data).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let said = error.to_string();
        let reason = said.strip_suffix(&format!(" at line {line} column {column}"));
        IgnitionProblem::Structure {
            line,
            column,
            reason: reason.unwrap_or(&said).to_owned(),
        }
    })?;
    if !is_known(&config.ignition.version) {
        let shown = config.ignition.version.escape_debug().take(40).collect();
        return Err(IgnitionProblem::Version(shown));
    }
    let Storage {
        files,
        directories,
        links,
    } = config.storage;
    let places = [
        ("storage.files", files),
        ("storage.directories", directories),
        ("storage.links", links),
    ];
    for (list, nodes) in places {
        let paths: Vec<_> = nodes.into_iter().map(|node| node.path).collect();
        absolute(list, &paths)?;
        once(list, paths)?;
    }
    let names = |named: Vec<Named>| named.into_iter().map(|named| named.name).collect();
    once("passwd.users", names(config.passwd.users))?;
    once("passwd.groups", names(config.passwd.groups))?;
    once("systemd.units", names(config.systemd.units))
}

/// `3.MINOR.PATCH`, with or without `-experimental`.
fn is_known(version: &str) -> bool {
    let stable = version.strip_suffix("-experimental").unwrap_or(version);
    let mut numbers = stable.split('.').map(str::parse::<u32>);
    let three = [numbers.next(), numbers.next(), numbers.next(), numbers.next()];
    matches!(three, [Some(Ok(3)), Some(Ok(_)), Some(Ok(_)), None])
}

fn absolute(list: &'static str, paths: &[String]) -> Result<(), IgnitionProblem> {
    for (index, path) in paths.iter().enumerate() {
        if !path.starts_with('/') {
            let path = path.escape_debug().take(80).collect();
            return Err(IgnitionProblem::Path { list, index, path });
        }
    }
    Ok(())
}

fn once(list: &'static str, mut keys: Vec<String>) -> Result<(), IgnitionProblem> {
    keys.sort_unstable();
    let twice = keys.windows(2).find_map(|pair| match pair {
        [one, other] if one == other => Some(one),
        _ => None,
    });
    twice.map_or(Ok(()), |key| {
        let key = key.escape_debug().take(80).collect();
        Err(IgnitionProblem::Twice { list, key })
    })
}

/// The part of a config that is looked at. Ignition itself only warns of keys it does not know, and so they pass.
#[derive(Deserialize)]
struct Config {
    ignition: Header,
    #[serde(default)]
    storage: Storage,
    #[serde(default)]
    passwd: Passwd,
    #[serde(default)]
    systemd: Systemd,
}

#[derive(Deserialize)]
struct Header {
    version: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Storage {
    files: Vec<Node>,
    directories: Vec<Node>,
    links: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    path: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Passwd {
    users: Vec<Named>,
    groups: Vec<Named>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Systemd {
    units: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

/// The config of a VM: its user-data where it has one, else its name, and its keys for the image's user.
pub fn config(vm: &Vm, image: &Image) -> Vec<u8> {
    vm.user_data
        .as_deref()
        .map_or_else(|| generated(vm, &image.default_user), <[u8]>::to_vec)
}

fn generated(vm: &Vm, user: &str) -> Vec<u8> {
    let keys: Vec<_> = vm.keys.iter().map(ToString::to_string).collect();
    let mut users = Vec::new();
    if !keys.is_empty() {
        users.push(json!({"name": user, "sshAuthorizedKeys": keys}));
    }
    let hostname = json!({
        "path": "/etc/hostname", "mode": 0o644, "overwrite": true,
        // A name is letters, digits and hyphens: nothing in it has to be escaped in a URL (RFC 2397).
        "contents": {"source": format!("data:,{}", vm.name)},
    });
    let config: Value = json!({
        "ignition": {"version": "3.0.0"},
        "passwd": {"users": users},
        "storage": {"files": [hostname]},
    });
    let mut bytes = config.to_string().into_bytes();
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{SshKeys, examples};
    use crate::seed::tests::vm;

    fn core() -> Image {
        Image {
            default_user: "core".to_owned(),
            ..examples::image()
        }
    }

    #[test]
    fn a_vm_without_a_config_gets_its_name_and_its_keys() {
        let made = String::from_utf8(config(&vm("web1", "10.77.0.5"), &core())).unwrap();
        insta::assert_snapshot!(made, @r#"{"ignition":{"version":"3.0.0"},"passwd":{"users":[{"name":"core","sshAuthorizedKeys":["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5dRL9gZ4JbhkmEkqlOV7J0Gf5KqRN4mGF1rWk2M0zQ ops@lab"]}]},"storage":{"files":[{"contents":{"source":"data:,web1"},"mode":420,"overwrite":true,"path":"/etc/hostname"}]}}"#);
        let keyless = Vm {
            keys: SshKeys::default(),
            ..vm("web1", "10.77.0.5")
        };
        for vm in [vm("web1", "10.77.0.5"), keyless] {
            let made = config(&vm, &core());
            assert!(is_meant(&made));
            assert_eq!(check(&made), Ok(()));
        }
    }

    #[test]
    fn a_vms_own_config_is_passed_as_it_is() {
        let own = b"\n { \"ignition\" : {\"version\":\"3.4.0\"} }\r\n";
        let vm = Vm {
            user_data: Some((&own[..]).into()),
            ..vm("web1", "10.77.0.5")
        };
        assert_eq!(config(&vm, &core()), own);
    }

    #[test]
    fn only_a_json_object_that_says_so_is_meant_as_a_config() {
        for meant in [
            r#"{"ignition":{"version":"3.0.0"}}"#,
            " {\"ignition\":{}}",
            "{\"ignition\": {",
        ] {
            assert!(is_meant(meant.as_bytes()), "{meant}");
        }
        for other in [
            "",
            "#cloud-config\n",
            "{}",
            r#"{"packages":["curl"]}"#,
            "{packages: [curl]}",
            "#!/bin/sh",
            "[]",
        ] {
            assert!(!is_meant(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn every_version_of_specification_3_passes_with_what_it_added() {
        for version in ["3.0.0", "3.1.0", "3.5.0", "3.6.0-experimental"] {
            let text = format!(
                r#"{{"ignition":{{"version":"{version}","config":{{"merge":[]}}}},"kernelArguments":{{"shouldExist":["a"]}},
                "storage":{{"files":[{{"path":"/a"}}],"luks":[]}},"systemd":{{"units":[{{"name":"a.service"}}]}}}}"#
            );
            assert_eq!(check(text.as_bytes()), Ok(()), "{version}");
        }
    }

    #[test]
    fn what_ignition_would_refuse_in_the_guest_is_refused_here_with_its_place() {
        let said = |text: &str| check(text.as_bytes()).unwrap_err().to_string();
        let with = |rest: &str| format!(r#"{{"ignition":{{"version":"3.0.0"}},{rest}}}"#);
        for (text, says) in [
            ("{\"ignition\": {".to_owned(), "line 1, column 14: EOF"),
            (
                "{\n\"ignition\": {}}".to_owned(),
                "line 2, column 14: missing field `version`",
            ),
            (r#"{"storage":{}}"#.to_owned(), "missing field `ignition`"),
            (
                r#"{"ignition":{"version":"2.3.0"}}"#.to_owned(),
                "`2.3.0`: use a version of specification 3",
            ),
            (
                r#"{"ignition":{"version":"3.0"}}"#.to_owned(),
                "ignition.version is `3.0`",
            ),
            (
                r#"{"ignition":{"version":3}}"#.to_owned(),
                "invalid type: integer `3`, expected a string",
            ),
            (
                with(r#""storage":{"files":[{"path":"/a"},{"path":"b"}]}"#),
                "storage.files[1].path is `b`",
            ),
            (
                with(r#""storage":{"files":[{"path":"/a"},{"path":"/a"}]}"#),
                "storage.files has `/a` twice",
            ),
            (
                with(r#""storage":{"files":{"path":"/a"}}"#),
                "expected a sequence",
            ),
            (
                with(r#""passwd":{"users":[{"name":"core"},{"name":"core"}]}"#),
                "passwd.users has `core` twice",
            ),
            (with(r#""passwd":{"users":[{}]}"#), "missing field `name`"),
            (
                with(r#""systemd":{"units":[{"name":"a"},{"name":"a"}]}"#),
                "systemd.units has `a` twice",
            ),
        ] {
            assert!(said(&text).contains(says), "{text}: {}", said(&text));
        }
    }
}
