//! Facts: the flat set of values a template may use. It is the contract with whoever writes templates, so a name in here
//! stays; `seed-templates/default.yaml` documents them all.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::Value;
use minijinja::value::Object;

use super::smbios::url;
use crate::model::{Image, Network, Secret, User, Vm, mac};

/// Where udev puts the disk with the serial `swap`; the launcher gives the swap disk that serial.
const SWAP_DEVICE: &str = "/dev/disk/by-id/virtio-swap";

/// What is true of one VM, as templates see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The short host name, which is also the VM's name.
    pub hostname: String,
    /// The fully qualified name.
    pub fqdn: String,
    /// The network's DNS domain.
    pub domain: String,
    /// The domain that names without one are looked up in.
    pub search: String,
    /// The network's name.
    pub network: String,
    /// The VM's IPv4 address.
    pub address: String,
    /// The subnet's prefix length.
    pub prefix: u8,
    /// The default gateway.
    pub gateway: String,
    /// The name server; the gateway itself.
    pub dns: String,
    /// The VM's hardware address, lower case with colons.
    pub mac: String,
    /// The name cloud-init knows this life of the VM by.
    pub instance_id: String,
    /// The SSH public keys that may log in, one line each.
    pub keys: Vec<String>,
    /// The account that gets the keys; unknown for a VM that someone else runs.
    pub default_user: Option<String>,
    /// The swap disk's device, when the VM has one.
    pub swap_device: Option<String>,
    /// Where cloud-init's `phone_home` reports to.
    pub phone_home_url: String,
    /// Where the guest reads its seed.
    pub seed_url: String,
    /// Time servers.
    pub ntp: Vec<String>,
    /// Accounts beside the image's own.
    pub users: Vec<UserFacts>,
    /// The SSH host keys that were made for the VM; none where it makes its own.
    pub host_keys: Vec<HostKeyFacts>,
    /// Where cloud-init reports how far it is, where it is to.
    pub report_url: Option<String>,
    /// Where a guest's sshd can ask which keys may log in now.
    pub keys_url: String,
    /// What it is told in confidence, by name.
    pub secrets: Confidence,
}

/// What a VM is told in confidence, as templates see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Confidence {
    /// The values by name; none where one is withheld. Any other name is an error.
    Named(BTreeMap<String, Option<Secret<String>>>),
    /// Whatever name is asked for has this value: to try a template with.
    Any(Option<&'static str>),
}

/// An account, as templates see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserFacts {
    /// Its name.
    pub name: String,
    /// Whether it may become root without a password.
    pub sudo: bool,
    /// Groups beside its own.
    pub groups: Vec<String>,
    /// Its login shell.
    pub shell: Option<String>,
    /// Its password, hashed by crypt(5).
    pub hashed_passwd: Option<Secret<String>>,
    /// The keys that may log in to it.
    pub keys: Vec<String>,
}

/// An SSH host key, as templates see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKeyFacts {
    /// Its type, as cloud-init's `ssh_keys` calls it.
    pub kind: &'static str,
    /// The private half, as OpenSSH stores it.
    pub private: Secret<String>,
    /// The public half, one line.
    pub public: String,
}

/// What stands in the place of a secret where somebody looks at a seed.
const CONCEALED: &str = "(secret)";

impl Facts {
    /// The facts of a VM; `image` is the one its disk is a clone of.
    pub fn of(vm: &Vm, network: &Network, image: Option<&Image>) -> Self {
        let gateway = network.subnet.gateway().to_string();
        let has_swap = vm.machine().is_some_and(|machine| machine.swap.0 > 0);
        Self {
            hostname: vm.name.to_string(),
            fqdn: format!("{}.{}", vm.name, network.domain),
            domain: network.domain.to_string(),
            search: network.domain.to_string(),
            network: network.name.to_string(),
            address: vm.address.to_string(),
            prefix: network.subnet.prefix(),
            phone_home_url: format!("http://{gateway}/phone-home"),
            report_url: network
                .metadata
                .reports
                .then(|| format!("http://{gateway}/report")),
            keys_url: format!("http://{gateway}/keys"),
            dns: gateway.clone(),
            gateway,
            mac: mac::text(vm.mac),
            instance_id: vm.instance_id().to_string(),
            keys: vm.keys.iter().map(ToString::to_string).collect(),
            default_user: image.map(|image| image.default_user.clone()),
            swap_device: has_swap.then(|| SWAP_DEVICE.to_owned()),
            seed_url: url(network),
            ntp: network
                .dhcp
                .settings
                .ntp
                .iter()
                .map(ToString::to_string)
                .collect(),
            users: vm.users().iter().map(|user| UserFacts::of(user, vm)).collect(),
            host_keys: made_host_key(vm).into_iter().collect(),
            secrets: Confidence::of(vm),
        }
    }

    /// The same facts with a word in the place of every secret, to be looked at. No guest is served these.
    #[must_use]
    pub fn concealed(mut self) -> Self {
        let secrets = self
            .users
            .iter_mut()
            .filter_map(|user| user.hashed_passwd.as_mut());
        for secret in secrets.chain(self.host_keys.iter_mut().map(|key| &mut key.private)) {
            *secret = Secret::new(CONCEALED.to_owned());
        }
        self.secrets.conceal();
        self
    }

    /// The facts under the names templates use.
    pub(super) fn context(&self) -> Value {
        let text = |text: &str| Value::from(text);
        let named = [
            ("hostname", text(&self.hostname)),
            ("fqdn", text(&self.fqdn)),
            ("domain", text(&self.domain)),
            ("search", text(&self.search)),
            ("network", text(&self.network)),
            ("address", text(&self.address)),
            ("prefix", Value::from(self.prefix)),
            ("gateway", text(&self.gateway)),
            ("dns", text(&self.dns)),
            ("mac", text(&self.mac)),
            ("instance_id", text(&self.instance_id)),
            ("keys", list(&self.keys)),
            ("default_user", Value::from(self.default_user.as_deref())),
            ("swap_device", Value::from(self.swap_device.as_deref())),
            ("phone_home_url", text(&self.phone_home_url)),
            ("report_url", Value::from(self.report_url.as_deref())),
            ("keys_url", text(&self.keys_url)),
            ("secrets", self.secrets.context()),
            ("seed_url", text(&self.seed_url)),
            ("ntp", list(&self.ntp)),
            ("users", self.users.iter().map(UserFacts::context).collect()),
            (
                "host_keys",
                self.host_keys.iter().map(HostKeyFacts::context).collect(),
            ),
        ];
        Value::from(BTreeMap::from(named))
    }

    /// Facts to try a template with: everything is there, and texts hold what breaks careless quoting.
    pub(super) fn sample() -> Self {
        Self {
            hostname: "sample".to_owned(),
            fqdn: "sample.lab".to_owned(),
            domain: "lab".to_owned(),
            search: "lab".to_owned(),
            network: "lab".to_owned(),
            address: "10.77.0.5".to_owned(),
            prefix: 24,
            gateway: "10.77.0.1".to_owned(),
            dns: "10.77.0.1".to_owned(),
            mac: "52:54:00:12:34:56".to_owned(),
            instance_id: "00000000-0000-8000-8000-000000000000".to_owned(),
            keys: vec!["ssh-ed25519 AAAA it's \"a: b\" # c".to_owned()],
            default_user: Some("debian".to_owned()),
            swap_device: Some(SWAP_DEVICE.to_owned()),
            phone_home_url: "http://10.77.0.1/phone-home".to_owned(),
            seed_url: "http://10.77.0.1/nocloud/".to_owned(),
            ntp: vec!["10.77.0.1".to_owned()],
            users: vec![UserFacts {
                name: "sample".to_owned(),
                sudo: true,
                groups: vec!["adm".to_owned()],
                shell: Some("/bin/bash".to_owned()),
                hashed_passwd: Some(Secret::new("$6$a: b # c".to_owned())),
                keys: vec!["ssh-ed25519 AAAA it's \"a: b\" # c".to_owned()],
            }],
            host_keys: vec![HostKeyFacts {
                kind: "ed25519",
                private: Secret::new("-----BEGIN\nit's \"a: b\" # c\n-----END\n".to_owned()),
                public: "ssh-ed25519 AAAA".to_owned(),
            }],
            report_url: Some("http://10.77.0.1/report".to_owned()),
            keys_url: "http://10.77.0.1/keys".to_owned(),
            secrets: Confidence::Any(Some("it's \"a: b\" # c")),
        }
    }

    /// Facts to try a template with: everything that can be missing is.
    pub(super) fn bare() -> Self {
        Self {
            keys: Vec::new(),
            default_user: None,
            swap_device: None,
            ntp: Vec::new(),
            users: Vec::new(),
            host_keys: Vec::new(),
            secrets: Confidence::Any(None),
            report_url: None,
            ..Self::sample()
        }
    }
}

fn list(list: &[String]) -> Value {
    list.iter().map(|item| Value::from(item.as_str())).collect()
}

/// The key that was made for a VM, in the words of cloud-init's `ssh_keys`.
fn made_host_key(vm: &Vm) -> Option<HostKeyFacts> {
    let key = vm.access()?.host_key.as_ref()?;
    Some(HostKeyFacts {
        kind: "ed25519",
        private: key.private(),
        public: key.public().first()?.to_string(),
    })
}

impl Confidence {
    fn of(vm: &Vm) -> Self {
        let named = vm.secrets().into_iter().flat_map(|secrets| &secrets.named);
        Self::Named(
            named
                .map(|(name, value)| (name.to_string(), value.clone()))
                .collect(),
        )
    }

    fn conceal(&mut self) {
        if let Self::Named(named) = self {
            for value in named.values_mut().flatten() {
                *value = Secret::new(CONCEALED.to_owned());
            }
        }
    }

    fn context(&self) -> Value {
        match self {
            Self::Named(named) => {
                let value = |(name, text): (&String, &Option<Secret<String>>)| {
                    let text = text.as_ref().map(|text| text.expose().as_str());
                    (name.clone(), Value::from(text))
                };
                Value::from(named.iter().map(value).collect::<BTreeMap<_, _>>())
            }
            Self::Any(value) => Value::from_object(Anything(*value)),
        }
    }
}

/// A mapping that has every name.
#[derive(Debug)]
struct Anything(Option<&'static str>);

impl Object for Anything {
    fn get_value(self: &Arc<Self>, _name: &Value) -> Option<Value> {
        Some(Value::from(self.0))
    }
}

impl UserFacts {
    fn of(user: &User, vm: &Vm) -> Self {
        Self {
            name: user.name.to_string(),
            sudo: user.sudo,
            groups: user.groups.iter().map(ToString::to_string).collect(),
            shell: user.shell.as_ref().map(ToString::to_string),
            hashed_passwd: user
                .password
                .as_ref()
                .map(|hash| Secret::new(hash.expose().to_owned())),
            keys: vm.keys_of(user).iter().map(ToString::to_string).collect(),
        }
    }

    fn context(&self) -> Value {
        let hash = self.hashed_passwd.as_ref().map(|hash| hash.expose().as_str());
        Value::from(BTreeMap::from([
            ("name", Value::from(self.name.as_str())),
            ("sudo", Value::from(self.sudo)),
            ("groups", list(&self.groups)),
            ("shell", Value::from(self.shell.as_deref())),
            ("hashed_passwd", Value::from(hash)),
            ("keys", list(&self.keys)),
        ]))
    }
}

impl HostKeyFacts {
    fn context(&self) -> Value {
        Value::from(BTreeMap::from([
            ("type", Value::from(self.kind)),
            ("private", Value::from(self.private.expose().as_str())),
            ("public", Value::from(self.public.as_str())),
        ]))
    }
}
