//! The rules of the metadata service: a caller and a request in, an answer and what was seen out.

use std::borrow::Cow;
use std::sync::Arc;

use super::caller::{Caller, Stranger};
use super::form::PhoneHome;
use super::netboot::{self, BootFile};
use super::request::{Malformed, Method, Request};
use crate::model::{Directory, Event, EventKind, Network, Vm};
use crate::seed::{self, Document, SeedError, Templates};

/// An answer, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The media type; guests ignore it.
    pub content_type: &'static str,
    /// The body; a HEAD sends its length only.
    pub body: Body,
    /// What else the status calls for.
    pub header: Option<(&'static str, &'static str)>,
    /// What the VM was seen doing, when it is a step of its boot.
    pub event: Option<Event>,
    /// What was decided, for the trace.
    pub verdict: Verdict,
}

/// What an answer holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// These bytes.
    Bytes(Arc<[u8]>),
    /// A file, or the part of it that is asked for.
    File(BootFile),
}

/// What was decided about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A document was served.
    Served(Document),
    /// A part of a network boot was served.
    Boot,
    /// A list of names was served.
    Listed,
    /// The VM reported the end of its first boot.
    PhonedHome {
        /// How many of its host keys could not be read.
        unreadable: usize,
    },
    /// There is nothing at that path.
    NothingThere,
    /// There is something at that path, for another method.
    WrongMethod,
    /// The caller is nobody's VM.
    Stranger(Stranger),
    /// The request is no guest's own, or can not be read.
    Malformed(Malformed),
    /// The request is too large, or took too long, or the service is too busy.
    Cut(&'static str),
    /// A VM posted something that is not a phone home of its own.
    Refused(&'static str),
    /// The VM's document could not be made.
    Failed(SeedError),
}

/// The media type of everything but boot files.
pub(super) const TEXT: &str = "text/plain; charset=utf-8";

/// Answers a request.
///
/// A known VM gets 200 for each of its four documents, with an empty body where there is nothing: anything else costs a guest
/// ten seconds or its datasource (guest-contract §1.3). Whoever is not known gets one sentence.
pub fn answer(directory: &Directory, templates: &Templates, caller: &Caller, request: &Request) -> Response {
    let vm = match &caller.vm {
        Ok(vm) => vm,
        Err(stranger) => return to_stranger(stranger),
    };
    let vm = &directory.served(vm);
    match request.segments().as_slice() {
        [] => read_only(request, || listing("nocloud/\n")),
        ["nocloud"] => read_only(request, || {
            let names: Vec<_> = Document::ALL.into_iter().map(Document::as_str).collect();
            listing(&format!("{}\n", names.join("\n")))
        }),
        ["nocloud", name] => match Document::named(name) {
            Some(which) => read_only(request, || {
                let event = (request.method == Method::Get).then_some(which);
                document(directory, templates, vm, &caller.network, which).seen_fetching(vm, event)
            }),
            None => nothing_there(),
        },
        ["boot", name] => netboot::answer(directory, templates, (vm, &caller.network), request, name),
        ["phone-home"] if request.method == Method::Post => phone_home(vm, &request.body),
        ["phone-home"] => wrong_method(("allow", "POST")),
        _ => nothing_there(),
    }
}

/// Whether the answer to a request depends on its body.
pub fn wants_body(caller: &Caller, request: &Request) -> bool {
    caller.vm.is_ok() && request.method == Method::Post && request.segments() == ["phone-home"]
}

/// The answer to a request that can not be read or is not a guest's own.
pub fn to_malformed(malformed: Malformed) -> Response {
    let status = match malformed {
        Malformed::Path(_) => 400,
        Malformed::Relayed(_) | Malformed::Host => 403,
    };
    sentence(status, &malformed.to_string(), Verdict::Malformed(malformed))
}

/// The answer to a request that is larger than a guest's ever is.
pub fn to_oversized() -> Response {
    sentence(
        413,
        "the body is too large",
        Verdict::Cut("the body is too large"),
    )
}

/// The answer when a boot file that should be there is not.
pub fn to_missing(file: &BootFile) -> Response {
    sentence(
        404,
        &format!("{file} can not be read; the log of seedbed says why"),
        Verdict::Refused("a boot file can not be read"),
    )
}

/// The answer that makes a guest ask again (guest-contract §1.3).
pub fn to_retry(why: &'static str) -> Response {
    Response {
        header: RETRY,
        ..sentence(503, why, Verdict::Cut(why))
    }
}

const RETRY: Option<(&str, &str)> = Some(("retry-after", "2"));

fn to_stranger(stranger: &Stranger) -> Response {
    // An impostor is told no more than any other stranger: not who has the address.
    let (status, text, header) = match stranger {
        Stranger::Unregistered { .. } => (404, Cow::from(stranger.to_string()), None),
        Stranger::Impostor { address, .. } => (
            404,
            Cow::from(format!("{address} is registered for another machine")),
            None,
        ),
        // Nor is a VM of ours that lost its entry (its bridge was down) turned away for good: it has one again soon.
        Stranger::Unconfirmed { .. } | Stranger::Unguarded { .. } => (503, Cow::from("ask again"), RETRY),
    };
    Response {
        header,
        ..sentence(status, &text, Verdict::Stranger(stranger.clone()))
    }
}

/// The answer to a GET or a HEAD; other methods are refused.
pub(super) fn read_only(request: &Request, response: impl FnOnce() -> Response) -> Response {
    match request.method {
        Method::Get | Method::Head => response(),
        Method::Post | Method::Other => wrong_method(("allow", "GET, HEAD")),
    }
}

fn document(
    directory: &Directory,
    templates: &Templates,
    vm: &Vm,
    network: &Network,
    which: Document,
) -> Response {
    let image = vm.machine().and_then(|machine| directory.image(&machine.image));
    match seed::document(which, templates, vm, network, image.map(Arc::as_ref)) {
        Ok(body) => Response {
            status: 200,
            content_type: TEXT,
            body: Body::Bytes(body),
            header: None,
            event: None,
            verdict: Verdict::Served(which),
        },
        // Not 200: a first boot without its vendor-data would be taken for a good one, and is never repeated.
        Err(error) => Response {
            header: RETRY,
            ..sentence(503, &error.to_string(), Verdict::Failed(error))
        },
    }
}

/// Host keys and the end of the first boot. The guest's own word on its name is not even read.
fn phone_home(vm: &Vm, body: &[u8]) -> Response {
    let Ok(told) = PhoneHome::parse(body) else {
        return refused(400, "the body is not a form of cloud-init's phone_home");
    };
    // A guest that still runs as a former instance (a cloned disk, a stale cache) has not finished this one's first boot.
    if told
        .instance_id
        .is_some_and(|told| told != vm.instance_id().as_str())
    {
        return refused(409, "the instance_id is not this VM's");
    }
    Response {
        event: Some(Event {
            vm: vm.name.clone(),
            kind: EventKind::PhonedHome {
                host_keys: told.host_keys,
            },
        }),
        ..sentence(
            200,
            "thank you",
            Verdict::PhonedHome {
                unreadable: told.unreadable,
            },
        )
    }
}

fn listing(names: &str) -> Response {
    Response {
        body: Body::Bytes(Arc::from(names.as_bytes())),
        ..sentence(200, "", Verdict::Listed)
    }
}

fn nothing_there() -> Response {
    sentence(
        404,
        "there is nothing at this path; /nocloud/ lists what there is",
        Verdict::NothingThere,
    )
}

fn wrong_method(allow: (&'static str, &'static str)) -> Response {
    Response {
        header: Some(allow),
        ..sentence(405, "this path does not take that method", Verdict::WrongMethod)
    }
}

fn refused(status: u16, why: &'static str) -> Response {
    sentence(status, why, Verdict::Refused(why))
}

/// An answer of one sentence.
pub(super) fn sentence(status: u16, text: &str, verdict: Verdict) -> Response {
    Response {
        status,
        content_type: TEXT,
        body: Body::Bytes(Arc::from(format!("{text}\n").into_bytes())),
        header: None,
        event: None,
        verdict,
    }
}

impl Response {
    /// The same response with the event that the document was fetched; a document that could not be made was not.
    fn seen_fetching(mut self, vm: &Vm, fetched: Option<Document>) -> Self {
        self.event = fetched.filter(|_| self.status == 200).map(|document| Event {
            vm: vm.name.clone(),
            kind: EventKind::Fetched {
                document: document.as_str(),
            },
        });
        self
    }
}

#[cfg(test)]
mod tests;
