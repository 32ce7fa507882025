//! The rules of network boot over HTTP: which VM gets which file, under paths that are the same for every VM.

use std::fmt;

use super::answer::{Body, Response, TEXT, Verdict, read_only, sentence};
use super::request::{Method, Request};
use crate::model::image::Boot;
use crate::model::{Directory, Event, EventKind, ImageId, NetBoot, Network, Vm};
use crate::seed::{self, Templates};

/// A file that is sent as the body of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BootFile {
    /// The kernel of an image.
    Kernel(ImageId),
    /// The initrd of an image.
    Initrd(ImageId),
    /// A file of the operator's, such as `ipxe.efi`.
    Loader(FileName),
}

impl fmt::Display for BootFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel(image) => write!(f, "the kernel of {image}"),
            Self::Initrd(image) => write!(f, "the initrd of {image}"),
            Self::Loader(name) => write!(f, "the file {}", name.as_str()),
        }
    }
}

/// The plain name of a file: letters, digits and `-._+`, and no leading dot, so that it names nothing outside its directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName(String);

impl FileName {
    /// The name, when it is plain.
    pub fn parse(text: &str) -> Option<Self> {
        const LONGEST: usize = 64;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._+".contains(&byte);
        let good =
            !text.is_empty() && text.len() <= LONGEST && !text.starts_with('.') && text.bytes().all(plain);
        good.then(|| Self(text.to_owned()))
    }

    /// The name as a text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Answers a request for a part of a VM's network boot.
pub(super) fn answer(
    directory: &Directory,
    templates: &Templates,
    (vm, network): (&Vm, &Network),
    request: &Request,
    name: &str,
) -> Response {
    let Some(boot) = vm.boot() else {
        let why = "it is not registered to boot from the network; seedbed set --netboot tells it what";
        return refused(vm, why.to_owned());
    };
    match name {
        "script.ipxe" => read_only(request, || {
            script(directory, templates, (vm, network), boot).seen_booting(vm, request, "script")
        }),
        "kernel" | "initrd" => read_only(request, || match part(directory, boot, name) {
            Ok(file) => {
                sent(file).seen_booting(vm, request, if name == "kernel" { "kernel" } else { "initrd" })
            }
            Err(why) => refused(vm, why),
        }),
        _ => match FileName::parse(name) {
            Some(name) => read_only(request, || {
                sent(BootFile::Loader(name)).seen_booting(vm, request, "loader")
            }),
            None => refused(vm, "this is no plain file name".to_owned()),
        },
    }
}

fn script(
    directory: &Directory,
    templates: &Templates,
    (vm, network): (&Vm, &Network),
    boot: &NetBoot,
) -> Response {
    let key = directory.site().seed_key(vm);
    let image = directory.boot_image(boot);
    match seed::boot_script(templates, vm, (boot, key.as_ref()), network, image) {
        Ok(script) => Response {
            status: 200,
            content_type: TEXT,
            body: Body::Bytes(script),
            header: None,
            event: None,
            verdict: Verdict::Boot,
        },
        // Not 503: iPXE asks again for ever, and this does not mend itself.
        Err(error) => Response {
            event: Some(event(
                vm,
                EventKind::BootRefused {
                    why: error.to_string(),
                },
            )),
            ..sentence(404, &error.to_string(), Verdict::Failed(error))
        },
    }
}

/// The file of an image that is asked for as `kernel` or `initrd`.
fn part(directory: &Directory, boot: &NetBoot, name: &str) -> Result<BootFile, String> {
    let NetBoot::Image(image) = boot else {
        return Err(format!("it boots {boot}, and no image of ours"));
    };
    let found = directory.boot_image(boot);
    match found.map(|image| (&image.boot, &image.id)) {
        Some((Boot::Kernel { initrd: true, .. }, id)) if name == "initrd" => Ok(BootFile::Initrd(id.clone())),
        Some((Boot::Kernel { .. }, id)) if name == "kernel" => Ok(BootFile::Kernel(id.clone())),
        _ => Err(format!("the image {image} has no {name}")),
    }
}

fn sent(file: BootFile) -> Response {
    Response {
        status: 200,
        content_type: "application/octet-stream",
        body: Body::File(file),
        header: None,
        event: None,
        verdict: Verdict::Boot,
    }
}

/// The answer when there is no such part of the VM's boot, which the operator hears of too.
pub(super) fn refused(vm: &Vm, why: String) -> Response {
    sentence(
        404,
        &format!("{}: {why}", vm.name),
        Verdict::Refused("no such part of a network boot"),
    )
    .with_event(event(vm, EventKind::BootRefused { why }))
}

fn event(vm: &Vm, kind: EventKind) -> Event {
    Event {
        vm: vm.name.clone(),
        kind,
    }
}

impl Response {
    fn with_event(mut self, event: Event) -> Self {
        self.event = Some(event);
        self
    }

    /// The same response with the event that the part was fetched; a HEAD fetches nothing.
    fn seen_booting(self, vm: &Vm, request: &Request, part: &'static str) -> Self {
        if self.status == 200 && request.method == Method::Get {
            self.with_event(event(vm, EventKind::BootFetched { part }))
        } else {
            self
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::answer::Case;
    use super::super::token::Tokens;
    use super::*;
    use crate::metadata::caller::Caller;
    use crate::model::Timestamp;
    use crate::model::vm::Custom;
    use crate::model::{Image, examples};

    fn directory(boot: Option<&str>, of: Boot) -> Directory {
        let mut directory = Directory::of([examples::network("lab", "10.77.0.1/24")]);
        let custom = Custom {
            boot: boot.map(|boot| boot.parse().unwrap()),
            ..Custom::default()
        };
        directory.put_vm(Arc::new(Vm {
            custom: custom.boxed(),
            ..examples::vm("web1", "10.77.0.5")
        }));
        directory.put_image(Arc::new(Image {
            boot: of,
            ..examples::image()
        }));
        directory
    }

    fn kernel(initrd: bool) -> Boot {
        Boot::Kernel {
            initrd,
            cmdline: "quiet".to_owned(),
        }
    }

    fn asked(directory: &Directory, method: Method, path: &str) -> Response {
        let vm = Arc::clone(directory.vm(&"web1".parse().unwrap()).unwrap());
        let caller = Caller {
            network: Arc::new(examples::network("lab", "10.77.0.1/24")),
            source: vm.address,
            vm: Ok(vm),
        };
        let request = Request::of(method, path).unwrap();
        let case = Case {
            directory,
            templates: &Templates::load(None).unwrap(),
            tokens: &Tokens::under([7; 32]),
            now: Timestamp(1_000),
        };
        super::super::answer::answer(case, &caller, &request)
    }

    fn text(response: &Response) -> &str {
        let Body::Bytes(bytes) = &response.body else {
            panic!("{response:?} is a file")
        };
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_vm_gets_its_script_and_the_files_of_its_image() {
        let directory = directory(Some("debian-12"), kernel(true));
        let script = asked(&directory, Method::Get, "/boot/script.ipxe");
        assert!(
            text(&script).contains("kernel http://10.77.0.1/boot/kernel initrd=initrd quiet ds="),
            "{script:?}"
        );
        assert_eq!(
            script.event.unwrap().kind,
            EventKind::BootFetched { part: "script" }
        );
        let image: ImageId = "debian-12@1".parse().unwrap();
        for (path, file, part) in [
            ("/boot/kernel", BootFile::Kernel(image.clone()), "kernel"),
            ("/boot/initrd", BootFile::Initrd(image), "initrd"),
            (
                "/boot/ipxe.efi",
                BootFile::Loader(FileName::parse("ipxe.efi").unwrap()),
                "loader",
            ),
        ] {
            let response = asked(&directory, Method::Get, path);
            assert_eq!(
                (response.status, response.body),
                (200, Body::File(file)),
                "{path}"
            );
            assert_eq!(response.event.unwrap().kind, EventKind::BootFetched { part });
            let head = asked(&directory, Method::Head, path);
            assert_eq!((head.status, head.event), (200, None), "{path}");
            assert_eq!(asked(&directory, Method::Post, path).status, 405, "{path}");
        }
    }

    /// What is booted, whether the image has a kernel and an initrd, what is asked for, and what is said.
    const REFUSED: [(&str, bool, bool, &str, &str); 10] = [
        ("", true, true, "script.ipxe", "not registered to boot"),
        ("", true, true, "kernel", "not registered to boot"),
        ("", true, true, "ipxe.efi", "not registered to boot"),
        ("debian-12", true, false, "initrd", "debian-12 has no initrd"),
        ("debian-12", false, false, "kernel", "debian-12 has no kernel"),
        ("debian-12", false, false, "script.ipxe", "no kernel to serve"),
        ("gone", true, true, "script.ipxe", "no kernel to serve"),
        ("http://10.77.0.9/x", true, true, "kernel", "no image of ours"),
        ("debian-12", true, true, ".hidden", "no plain file name"),
        ("debian-12", true, true, "a%20b", "no plain file name"),
    ];

    #[test]
    fn what_a_vm_does_not_boot_is_404_and_the_operator_hears_of_it() {
        for (boot, has_kernel, has_initrd, name, says) in REFUSED {
            let of = if has_kernel {
                kernel(has_initrd)
            } else {
                Boot::Disk
            };
            let directory = directory(Some(boot).filter(|boot| !boot.is_empty()), of);
            let response = asked(&directory, Method::Get, &format!("/boot/{name}"));
            assert_eq!(response.status, 404, "{name}");
            let Some(EventKind::BootRefused { why }) = response.event.clone().map(|event| event.kind) else {
                panic!("{name}: {response:?}")
            };
            assert!(
                why.contains(says) && text(&response).contains(says),
                "{name}: {why}"
            );
        }
    }

    #[test]
    fn a_url_is_led_to_by_a_script_too() {
        let directory = directory(Some("http://10.77.0.9/menu.ipxe"), Boot::Disk);
        let script = asked(&directory, Method::Get, "/boot/script.ipxe");
        assert!(
            text(&script).contains("chain --replace http://10.77.0.9/menu.ipxe "),
            "{script:?}"
        );
    }

    #[test]
    fn there_is_one_level_of_names() {
        let directory = directory(Some("debian-12"), kernel(true));
        for path in ["/boot", "/boot/sub/ipxe.efi", "/boot/kernel/x"] {
            let response = asked(&directory, Method::Get, path);
            assert_eq!((response.status, response.event), (404, None), "{path}");
        }
    }
}
