//! What an installer is told instead of asking: files under paths that are the same for every VM, for the VM alone that it runs in.

use super::answer::{Asked, Body, Response, TEXT, Verdict, failed, nothing_there};
use super::request::Method;
use crate::model::{Event, EventKind};
use crate::seed::install;

/// Answers a request for one of the files.
pub(super) fn answer(asked: Asked<'_>, name: &str) -> Response {
    let Asked {
        case, vm, network, ..
    } = asked;
    let Some(of) = vm.install() else {
        return nothing_there();
    };
    let (name, body) = match install::answer(case.templates, vm, network, of, name) {
        Ok(Some(told)) => told,
        Ok(None) => return nothing_there(),
        Err(error) => return failed(error),
    };
    let fetched = (asked.request.method == Method::Get).then(|| Event {
        vm: vm.name.clone(),
        kind: EventKind::AnswersFetched { name },
    });
    Response {
        status: 200,
        content_type: TEXT,
        body: Body::Bytes(body),
        header: None,
        event: fetched,
        verdict: Verdict::Served {
            view: install::FOLDER,
            document: name,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::answer::Case;
    use super::super::caller::Caller;
    use super::super::request::Request;
    use super::super::token::Tokens;
    use super::*;
    use crate::model::workshop::{Answers, Family, Install, Work, Workshop};
    use crate::model::{Directory, Hosting, Machine, Timestamp, Vm, examples};
    use crate::seed::Templates;

    /// A directory with an unattended installation of Debian in `install-base`, and `web1` beside it.
    fn directory() -> Directory {
        let mut directory = Directory::of([examples::network("lab", "10.77.0.1/24")]);
        let work = Work::Install(Install {
            family: Family::Debian,
            cmdline: String::new(),
            default_user: "debian".to_owned(),
            has_media: false,
            answers: Some(Answers::default()),
        });
        let machine = Machine {
            workshop: Some(Box::new(Workshop {
                image: "base".parse().unwrap(),
                work,
            })),
            ..examples::machine()
        };
        directory.put_vm(Arc::new(Vm {
            hosting: Hosting::from(machine),
            ..examples::vm("install-base", "10.77.0.5")
        }));
        directory.put_vm(Arc::new(examples::vm("web1", "10.77.0.6")));
        directory
    }

    fn asked(vm: &str, method: Method, path: &str) -> Response {
        let directory = directory();
        let vm = Arc::clone(directory.vm(&vm.parse().unwrap()).unwrap());
        let caller = Caller {
            network: Arc::new(examples::network("lab", "10.77.0.1/24")),
            source: vm.address,
            vm: Ok(vm),
        };
        let case = Case {
            directory: &directory,
            templates: &Templates::load(None).unwrap(),
            tokens: &Tokens::under([7; 32]),
            now: Timestamp(1_000),
        };
        super::super::answer::answer(case, &caller, &Request::of(method, path).unwrap())
    }

    #[test]
    fn an_installer_gets_its_own_answers_and_is_seen_to() {
        let got = asked("install-base", Method::Get, "/install/preseed.cfg");
        let Body::Bytes(bytes) = &got.body else {
            panic!("{got:?}")
        };
        let text = String::from_utf8_lossy(bytes);
        assert!(
            got.status == 200 && text.contains("get_hostname string install-base\n"),
            "{text}"
        );
        let event = got.event.unwrap();
        assert_eq!(event.vm.as_str(), "install-base");
        assert_eq!(event.kind, EventKind::AnswersFetched { name: "preseed.cfg" });
        let head = asked("install-base", Method::Head, "/install/preseed.cfg");
        assert_eq!((head.status, head.event), (200, None));
        assert_eq!(
            asked("install-base", Method::Post, "/install/preseed.cfg").status,
            405
        );
    }

    #[test]
    fn nobody_else_gets_them_nor_does_the_installer_get_others() {
        for (vm, path) in [
            ("web1", "/install/preseed.cfg"),
            ("install-base", "/install/kickstart.cfg"),
            ("install-base", "/install/"),
            ("install-base", "/install"),
            ("install-base", "/install/preseed.cfg/x"),
        ] {
            let got = asked(vm, Method::Get, path);
            assert_eq!((got.status, got.event), (404, None), "{vm} {path}");
        }
    }
}
