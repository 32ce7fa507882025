//! What is set for one VM alone: from what a client wrote to what it means, and back.

use super::selection::{self, parse};
use crate::control::{Concealed, CustomSettings, Refusal, WrittenUser};
use crate::model::{DhcpSettings, OwnerName, Route, Secret, SecretName, User, Vm};
use crate::registry::{AccessEdit, CustomEdit, SecretsEdit};

/// What the settings mean as a change.
pub(super) fn edit(written: &CustomSettings) -> Result<CustomEdit, Refusal> {
    let CustomSettings {
        aliases,
        dns,
        ntp,
        search,
        mtu,
        routes,
        options,
        boot,
        owner,
        ring,
        users,
        secrets,
        secret_user_data,
        instance_id,
        offline,
    } = written;
    let named = secrets.iter().map(|(name, value)| secret(name, value.as_ref()));
    Ok(CustomEdit {
        secrets: SecretsEdit {
            named: named.collect::<Result<_, _>>()?,
            user_data: *secret_user_data,
        },
        instance_policy: instance_id.as_deref().map(parse).transpose()?,
        offline: *offline,
        aliases: each(aliases.as_deref(), parse)?,
        dns: each(dns.as_deref(), parse)?,
        ntp: each(ntp.as_deref(), parse)?,
        search: each(search.as_deref(), parse)?,
        mtu: mtu.as_deref().map(self::mtu).transpose()?,
        routes: each(routes.as_deref(), route)?,
        options: each(options.as_deref(), parse)?,
        boot: boot
            .as_deref()
            .map(|text| {
                if text.is_empty() {
                    Ok(None)
                } else {
                    parse(text).map(Some)
                }
            })
            .transpose()?,
        access: Box::new(AccessEdit {
            owner: owner.as_deref().map(self::owner).transpose()?,
            ring: each(ring.as_deref(), parse)?,
            users: users
                .as_deref()
                .map(|users| users.iter().map(user).collect())
                .transpose()?,
        }),
    })
}

/// The most of one secret, in octets: a key or a token, not a file system.
const LARGEST_SECRET: usize = 64 * 1024;

fn secret(name: &str, value: Option<&Concealed>) -> Result<(SecretName, Option<Secret<String>>), Refusal> {
    let name = parse(name)?;
    let kept = |value: &Concealed| {
        let octets = value.expose().len();
        // What is withheld is nothing too: templates could not tell them apart.
        if octets == 0 || octets > LARGEST_SECRET {
            let message = format!("secret {name}: it has {octets} octets; 1 to {LARGEST_SECRET} are allowed");
            return Err(Refusal::request(message));
        }
        Ok(Secret::new(value.expose().clone()))
    };
    let value = value.map(kept).transpose()?;
    Ok((name, value))
}

fn owner(text: &str) -> Result<Option<OwnerName>, Refusal> {
    if text.is_empty() {
        return Ok(None);
    }
    parse(text).map(Some)
}

fn user(written: &WrittenUser) -> Result<User, Refusal> {
    let WrittenUser {
        name,
        sudo,
        groups,
        shell,
        hashed_passwd,
        ssh_authorized_keys,
    } = written;
    let groups = groups.iter().map(|group| parse(group));
    let of = |refusal: Refusal| Refusal {
        message: format!("account {}: {}", name.escape_debug(), refusal.message),
        ..refusal
    };
    Ok(User {
        name: parse(name)?,
        sudo: *sudo,
        groups: groups.collect::<Result<_, _>>().map_err(of)?,
        shell: shell.as_deref().map(parse).transpose().map_err(of)?,
        password: hashed_passwd
            .as_ref()
            .map(|hash| parse(hash.expose()))
            .transpose()
            .map_err(of)?,
        keys: selection::keys(ssh_authorized_keys).map_err(of)?,
    })
}

/// Reads a list; empty texts stand for nothing, so that `--ntp ''` empties one.
fn each<T>(
    written: Option<&[String]>,
    meant: impl Fn(&str) -> Result<T, Refusal>,
) -> Result<Option<Vec<T>>, Refusal> {
    let Some(written) = written else { return Ok(None) };
    let texts = written.iter().filter(|text| !text.is_empty());
    texts.map(|text| meant(text)).collect::<Result<_, _>>().map(Some)
}

fn mtu(text: &str) -> Result<Option<u16>, Refusal> {
    if text.is_empty() {
        return Ok(None);
    }
    // RFC 2132 §5.1 allows 68; RFC 791 makes every host take 576, and less than that is a typing error.
    text.parse()
        .ok()
        .filter(|mtu| *mtu >= 576)
        .map(Some)
        .ok_or_else(|| {
            Refusal::request(format!(
                "`{}` is not an MTU from 576 to 65535",
                text.escape_debug()
            ))
        })
}

fn route(text: &str) -> Result<Route, Refusal> {
    let (to, via) = text.split_once('=').ok_or_else(|| {
        Refusal::request(format!(
            "`{}` is not a route such as 192.168.0.0/16=10.77.0.9",
            text.escape_debug()
        ))
    })?;
    Route::parse(to, via).map_err(|error| Refusal::request(error.to_string()))
}

/// An account as it is shown: without its password, of which only that there is one.
pub(super) fn account(user: &User) -> String {
    let mut words = Vec::new();
    if user.sudo {
        words.push("sudo".to_owned());
    }
    if !user.groups.is_empty() {
        let groups: Vec<_> = user.groups.iter().map(ToString::to_string).collect();
        words.push(format!("groups {}", groups.join(" ")));
    }
    words.extend(user.shell.as_ref().map(|shell| format!("shell {shell}")));
    words.extend(user.password.as_ref().map(|_| "password".to_owned()));
    words.push(match user.keys.len() {
        0 => "the VM's keys".to_owned(),
        1 => "1 key of its own".to_owned(),
        count => format!("{count} keys of its own"),
    });
    format!("{}: {}", user.name, words.join(", "))
}

/// What DHCP tells a VM alone, a setting a line.
pub(super) fn lines(vm: &Vm) -> Vec<String> {
    let Some(settings) = vm.dhcp() else {
        return Vec::new();
    };
    let DhcpSettings {
        dns,
        ntp,
        search,
        mtu,
        routes,
        options,
    } = settings;
    let mut lines = Vec::new();
    let mut line = |key: &str, values: Vec<String>| {
        if !values.is_empty() {
            lines.push(format!("{key}: {}", values.join(", ")));
        }
    };
    line("dns", dns.iter().map(ToString::to_string).collect());
    line("ntp", ntp.iter().map(ToString::to_string).collect());
    line("search", search.iter().map(ToString::to_string).collect());
    line("mtu", mtu.iter().map(ToString::to_string).collect());
    line("routes", routes.iter().map(ToString::to_string).collect());
    for option in options {
        line(&format!("option {}", option.code()), vec![option.value()]);
    }
    lines
}
