//! When a VM is told its secrets: from its start to its first success, and for a bounded time at most.
//!
//! Any program in a guest can ask the metadata service what the guest's agent asks. What opens a door is therefore told only
//! while a first boot needs it. Later answers are whole and well-formed, but without it: an agent that asks at each boot
//! takes them for what they are, the documents of an instance that it has set up already.

use std::collections::BTreeMap;
use std::time::Duration;

use super::name::SecretName;
use super::secret::Secret;
use super::time::Timestamp;
use super::vm::Vm;

/// What a VM is told in confidence, beside the host key and the passwords of its [`Access`](super::Access).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Secrets {
    /// Values that templates write as `secrets.NAME`; none where it is withheld.
    pub named: BTreeMap<SecretName, Option<Secret<String>>>,
    /// Whether all of its user-data is one.
    pub user_data: bool,
    /// When they were released last; `None` before a start of its present instance, or the first request of a VM that someone
    /// else runs.
    pub released: Option<Timestamp>,
}

/// Whether a VM is told its secrets at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// It has none.
    Nothing,
    /// It is not, before it is started the next time.
    Waiting,
    /// It is, until then; without an end where nobody knows when it starts: someone else runs it, and it has not asked yet.
    Open {
        /// The first second it is not.
        until: Option<Timestamp>,
    },
    /// It is not, since its first boot succeeded then.
    Succeeded(Timestamp),
    /// It is not, since the time for that ran out then.
    Expired(Timestamp),
}

impl Window {
    /// Whether there is something that is withheld.
    pub const fn is_closed(self) -> bool {
        matches!(self, Self::Waiting | Self::Succeeded(_) | Self::Expired(_))
    }
}

impl Vm {
    /// What it is told in confidence by name.
    pub fn secrets(&self) -> Option<&Secrets> {
        self.custom.as_ref().map(|custom| &custom.secrets)
    }

    /// Whether its user-data is a secret.
    pub fn has_secret_user_data(&self) -> bool {
        self.user_data.is_some() && self.secrets().is_some_and(|secrets| secrets.user_data)
    }

    /// Whether what its template is rendered with has a secret in it.
    pub fn has_secret_facts(&self) -> bool {
        let passwords = self.users().iter().any(|user| user.password.is_some());
        let valued = |secrets: &Secrets| secrets.named.values().any(Option::is_some);
        passwords || self.has_made_host_key() || self.secrets().is_some_and(valued)
    }

    /// Whether it is told anything in confidence.
    pub fn has_secrets(&self) -> bool {
        self.has_secret_user_data() || self.has_secret_facts()
    }

    /// When its secrets were released last.
    pub fn released(&self) -> Option<Timestamp> {
        self.secrets()?.released
    }

    /// Whether its next boot is one that its secrets are released for.
    pub fn awaits_release(&self) -> bool {
        self.succeeded().is_none() && self.has_secrets()
    }

    /// Whether it is told its secrets at `now`, where that is done for `limit` after a start.
    pub fn window(&self, limit: Duration, now: Timestamp) -> Window {
        if !self.has_secrets() {
            return Window::Nothing;
        }
        match (self.released(), self.succeeded()) {
            // Who releases them once more after a success means it.
            (released, Some(at)) if released.is_none_or(|released| released <= at) => Window::Succeeded(at),
            (Some(released), _) => {
                let until = Timestamp(released.0.saturating_add(limit.as_secs()));
                if now < until {
                    Window::Open { until: Some(until) }
                } else {
                    Window::Expired(until)
                }
            }
            // Another instance of a VM that runs still, or a secret that was added meanwhile, is for its next start.
            (None, _) if self.machine().is_some() => Window::Waiting,
            (None, _) => Window::Open { until: None },
        }
    }

    /// The VM as it is told of itself where its secrets are withheld: named ones have no value, passwords, the private host
    /// key and a secret user-data are not there.
    #[must_use]
    pub fn without_secrets(&self) -> Self {
        let mut vm = self.clone();
        if self.has_secret_user_data() {
            vm.user_data = None;
        }
        if let Some(custom) = &mut vm.custom {
            custom.access.host_key = None;
            for user in &mut custom.access.users {
                user.password = None;
            }
            custom.secrets.named.values_mut().for_each(|value| *value = None);
        }
        vm
    }
}

impl Secrets {
    /// Whether nothing is kept here.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::model::{Access, Custom, FirstBoot, HostKey, Instance, SiteSecret, User, examples};

    const LIMIT: Duration = Duration::from_secs(600);
    const HASH: &str = "$6$saltsaltsaltsalt$HYRyw4Of/jYLZbv36GVJlJxhVvg8r4C5NfnkJ1dV0M7gFfNpbPTQfC6VwMyhlkxvG9QDKzD4cHVDzJkyYSfmJ0";

    /// A VM that has every kind of secret; each has `hunter2` in it, or is a private key or a hash.
    pub(crate) fn confident(name: &str, address: &str) -> Vm {
        let mut vm = examples::vm(name, address);
        vm.user_data = Some(Arc::from(&b"#cloud-config\npassword: hunter2-in-user-data\n"[..]));
        vm.custom = Custom {
            access: Access {
                users: vec![User {
                    password: Some(HASH.parse().unwrap()),
                    ..User::named("ann".parse().unwrap())
                }],
                host_key: Some(HostKey::derive(&SiteSecret::of([7; 32]), vm.uuid)),
                ..Access::default()
            },
            secrets: Secrets {
                named: BTreeMap::from([("db".parse().unwrap(), Some(Secret::new("hunter2-db".to_owned())))]),
                user_data: true,
                released: None,
            },
            ..Custom::default()
        }
        .boxed();
        vm
    }

    fn at(vm: &mut Vm, released: Option<u64>, succeeded: Option<u64>, renewed: Option<u64>) {
        let custom = vm.custom.as_mut().unwrap();
        custom.secrets.released = released.map(Timestamp);
        custom.instance = Instance {
            renewed: renewed.map(Timestamp),
            ..Instance::default()
        };
        vm.first_boot = succeeded.map(|at| FirstBoot {
            at: Timestamp(at),
            host_keys: vec![].into(),
        });
    }

    /// What a VM is told at `now` that was released, succeeded and became another instance at these times.
    fn window((released, succeeded, renewed): (Option<u64>, Option<u64>, Option<u64>), now: u64) -> Window {
        let mut vm = confident("web1", "10.77.0.5");
        at(&mut vm, released, succeeded, renewed);
        vm.window(LIMIT, Timestamp(now))
    }

    const fn until(second: u64) -> Window {
        Window::Open {
            until: Some(Timestamp(second)),
        }
    }

    #[test]
    fn secrets_are_told_from_the_start_for_a_time_at_most() {
        let started = (Some(100), None, None);
        assert_eq!(window((None, None, None), 9_999), Window::Open { until: None });
        assert_eq!(window(started, 100), until(700));
        assert_eq!(window(started, 699), until(700));
        assert_eq!(window(started, 700), Window::Expired(Timestamp(700)));
        // A clock that went back closes nothing.
        assert_eq!(window(started, 5), until(700));
        let nothing = examples::vm("web2", "10.77.0.6");
        assert_eq!(nothing.window(LIMIT, Timestamp(5)), Window::Nothing);
    }

    #[test]
    fn secrets_are_told_until_the_first_success_of_the_instance() {
        let closed = |at| Window::Succeeded(Timestamp(at));
        assert_eq!(window((Some(100), Some(150), None), 151), closed(150));
        assert_eq!(window((Some(100), Some(150), None), 9_999), closed(150));
        assert_eq!(window((None, Some(150), None), 151), closed(150));
        // Released once more, on purpose, after the success.
        assert_eq!(window((Some(200), Some(150), None), 300), until(800));
        // Another instance, that has not succeeded yet, and then has.
        let renewed = Some(160);
        assert_eq!(
            window((None, Some(150), renewed), 300),
            Window::Open { until: None }
        );
        assert_eq!(window((Some(170), Some(150), renewed), 300), until(770));
        assert_eq!(window((Some(170), Some(180), renewed), 300), closed(180));
    }

    #[test]
    fn a_vm_of_ours_is_told_nothing_before_its_start() {
        let mut vm = confident("web1", "10.77.0.5");
        vm.hosting = crate::model::Hosting::from(examples::machine());
        assert_eq!(vm.window(LIMIT, Timestamp(5)), Window::Waiting);
        at(&mut vm, Some(100), None, None);
        assert_eq!(vm.window(LIMIT, Timestamp(101)), until(700));
        // Another instance of it, while the old one runs.
        at(&mut vm, None, Some(150), Some(160));
        assert_eq!(vm.window(LIMIT, Timestamp(161)), Window::Waiting);
        assert!(Window::Waiting.is_closed());
    }

    #[test]
    fn without_its_secrets_a_vm_is_otherwise_the_same() {
        let vm = confident("web1", "10.77.0.5");
        let without = vm.without_secrets();
        assert!(!without.has_secret_facts() && !without.has_secret_user_data());
        assert_eq!(without.users()[0].name, vm.users()[0].name);
        let named = &without.secrets().unwrap().named;
        assert_eq!(named.get(&"db".parse().unwrap()), Some(&None));
        assert_eq!(
            (without.uuid, &without.keys, without.user_data),
            (vm.uuid, &vm.keys, None)
        );
        let mut open = vm.clone();
        open.custom.as_mut().unwrap().secrets.user_data = false;
        assert_eq!(open.without_secrets().user_data, vm.user_data);
    }

    proptest! {
        #[test]
        fn a_window_is_never_longer_than_the_limit(
            released in prop::option::of(0_u64..2_000), succeeded in prop::option::of(0_u64..2_000),
            renewed in prop::option::of(0_u64..2_000), now in 0_u64..4_000,
        ) {
            let mut vm = confident("web1", "10.77.0.5");
            at(&mut vm, released, succeeded, renewed);
            match vm.window(LIMIT, Timestamp(now)) {
                Window::Open { until: Some(until) } => {
                    prop_assert_eq!(until.0, released.unwrap() + LIMIT.as_secs());
                    prop_assert!(now < until.0);
                }
                Window::Open { until: None } => prop_assert!(released.is_none() && vm.succeeded().is_none()),
                Window::Succeeded(at) => prop_assert!(vm.succeeded() == Some(at)),
                Window::Expired(at) => prop_assert!(at.0 <= now),
                Window::Nothing | Window::Waiting => prop_assert!(false),
            }
        }
    }
}
