//! Which secrets of its own a VM is told by a request: those of its first boot, and in the way its image is led to.

use std::sync::Arc;

use super::answer::Case;
use super::ec2;
use crate::model::Vm;
use crate::model::image::View;
use crate::seed::Document;

/// What is withheld from a request, of what there is to withhold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Withheld {
    user_data: bool,
    facts: bool,
}

impl Withheld {
    /// Whether a document, by the name it is told under, is without something that belongs into it.
    pub(super) fn from(self, document: &str) -> bool {
        match Document::named(document) {
            Some(Document::UserData) => self.user_data,
            Some(Document::VendorData) => self.facts,
            Some(Document::MetaData | Document::NetworkConfig) | None => false,
        }
    }
}

/// The VM as it is told of itself by this path now, and what of it that withholds.
///
/// A VM that Seedbed runs was shown one way to its documents by its SMBIOS table. Whoever comes another way is no agent, but
/// some program in the guest that knows the usual paths.
pub(super) fn told(case: Case<'_>, vm: &Arc<Vm>, path: &[&str]) -> (Arc<Vm>, Withheld) {
    let vm = case.directory.served(vm);
    let all = Withheld {
        user_data: vm.has_secret_user_data(),
        facts: vm.has_secret_facts(),
    };
    let nothing = Withheld::default();
    let open = || !case.directory.window(&vm, case.now).is_closed();
    if all == nothing || (open() && is_the_way_of(case, &vm, path)) {
        return (vm, nothing);
    }
    (Arc::new(vm.without_secrets()), all)
}

fn is_the_way_of(case: Case<'_>, vm: &Vm, path: &[&str]) -> bool {
    if vm.machine().is_none() {
        // Someone else runs it, who may have built any way into its image.
        return true;
    }
    let view = case.directory.view_of(vm);
    match path {
        ["nocloud", key, ..] => {
            let own = case.directory.site().seed_key(vm);
            matches!(view, View::Auto | View::NoCloud) && own.is_none_or(|own| own.is(key))
        }
        ["openstack", ..] => matches!(view, View::Auto | View::OpenStack),
        [version, ..] => view == View::Ec2 && ec2::is_version(version),
        [] => false,
    }
}

/// A path below `/nocloud/` without the key that may stand in front: it says who may read secrets, and finds nothing.
pub(super) fn without_key<'a>(path: &'a [&'a str]) -> &'a [&'a str] {
    match path {
        [key, rest @ ..] if key.len() == 20 && key.bytes().all(|b| b.is_ascii_hexdigit()) => rest,
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::tests::{from, text};
    use super::super::answer::{Body, Response};
    use super::super::caller::Caller;
    use super::super::request::{Method, Request};
    use crate::model::image::View;
    use crate::model::release::tests::confident;
    use crate::model::{Directory, EventKind, FirstBoot, Hosting, Image, SiteSecret, Timestamp, examples};
    use crate::seed::tests::network;
    use std::sync::Arc;

    /// What is in a document of a VM of this image's view that has every kind of secret, and whether that is told as too late.
    struct World {
        directory: Directory,
    }

    impl World {
        fn of(view: Option<View>) -> Self {
            let mut directory = Directory::of([network("10.77.0.1/24")]);
            directory.site_mut().secret = Some(SiteSecret::of([9; 32]));
            let mut vm = confident("web1", "10.77.0.5");
            if let Some(view) = view {
                directory.put_image(Arc::new(Image {
                    view,
                    ..examples::image()
                }));
                vm.hosting = Hosting::from(examples::machine());
                vm.custom.as_mut().unwrap().secrets.released = Some(Timestamp(900));
            }
            directory.put_vm(Arc::new(vm));
            Self { directory }
        }

        fn key(&self) -> String {
            let vm = self.directory.vm(&"web1".parse().unwrap()).unwrap();
            self.directory.site().seed_key(vm).unwrap().expose().to_owned()
        }

        fn succeeded(&mut self, at: u64) {
            let mut vm = (**self.directory.vm(&"web1".parse().unwrap()).unwrap()).clone();
            vm.first_boot = Some(FirstBoot {
                at: Timestamp(at),
                host_keys: vec![].into(),
            });
            self.directory.put_vm(Arc::new(vm));
        }

        fn get(&self, path: &str) -> Response {
            let vm = Arc::clone(self.directory.vm(&"web1".parse().unwrap()).unwrap());
            let caller = Caller {
                network: Arc::new(network("10.77.0.1/24")),
                source: vm.address,
                vm: Ok(vm),
            };
            from(&self.directory, &caller, &Request::of(Method::Get, path).unwrap())
        }

        /// Whether the document has secrets in it. An answer that is without them is whole, and tells so by its event.
        fn tells(&self, path: &str) -> bool {
            let response = self.get(path);
            let Body::Bytes(body) = &response.body else {
                panic!("a document")
            };
            let body = String::from_utf8_lossy(body);
            let has = ["hunter2", "PRIVATE KEY", "$6$"]
                .iter()
                .any(|secret| body.contains(secret));
            match response.event.map(|event| event.kind) {
                Some(EventKind::Fetched { withheld, .. }) => assert_eq!(withheld, !has, "{path}"),
                // A user-data that is withheld is not there, where that is how there being none is told.
                None => assert!(response.status == 404 && !has, "{path} {}", response.status),
                Some(other) => panic!("{other:?}"),
            }
            has
        }
    }

    #[test]
    fn secrets_are_in_the_documents_of_a_first_boot_and_in_no_later_ones() {
        let mut world = World::of(None);
        let paths = [
            "/nocloud/user-data",
            "/nocloud/vendor-data",
            "/openstack/latest/user_data",
            "/openstack/latest/vendor_data.json",
            "/latest/user-data",
        ];
        for path in paths {
            assert!(world.tells(path), "{path}");
        }
        // The directory's clock stands at 1,000.
        world.succeeded(999);
        for path in paths {
            assert!(!world.tells(path), "{path}");
        }
        // What is no secret is as it was, and well-formed: a later boot must not take it for an outage.
        assert_eq!(world.get("/nocloud/user-data").status, 200);
        let vendor_data = world.get("/nocloud/vendor-data");
        crate::seed::check::vendor_data(text(&vendor_data)).unwrap();
        assert!(text(&vendor_data).contains("\"ann\"") && !text(&vendor_data).contains("hashed_passwd"));
        assert!(text(&world.get("/nocloud/meta-data")).contains("instance-id"));
    }

    #[test]
    fn a_vm_of_ours_is_told_its_secrets_only_by_the_way_that_it_was_shown() {
        for (view, shown) in [
            (View::Auto, [true, false, true, false]),
            (View::NoCloud, [true, false, false, false]),
            (View::OpenStack, [false, false, true, false]),
            (View::Ec2, [false, false, false, true]),
            (View::Cidata, [false; 4]),
        ] {
            let world = World::of(Some(view));
            let ways = [
                format!("/nocloud/{}/user-data", world.key()),
                "/nocloud/user-data".to_owned(),
                "/openstack/latest/user_data".to_owned(),
                "/latest/user-data".to_owned(),
            ];
            assert_eq!(ways.map(|way| world.tells(&way)), shown, "{view:?}");
        }
    }

    #[test]
    fn a_wrong_key_opens_nothing_and_a_guest_that_has_an_old_one_is_not_lost() {
        let world = World::of(Some(View::NoCloud));
        let wrong = format!("/nocloud/{}/", "0".repeat(20));
        assert!(!world.tells(&format!("{wrong}vendor-data")));
        assert_eq!(world.get(&format!("{wrong}meta-data")).status, 200);
        assert_eq!(world.get("/nocloud/meta-data/meta-data").status, 404);
        let right = world.key();
        assert_eq!(
            text(&world.get(&format!("/nocloud/{right}/"))),
            text(&world.get("/nocloud/"))
        );
    }
}
