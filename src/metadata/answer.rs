//! The rules of the metadata service: a caller and a request in, an answer and what was seen out.

use std::borrow::Cow;
use std::sync::Arc;

use super::caller::{Caller, Stranger};
use super::form::PhoneHome;
use super::netboot::{self, BootFile};
use super::request::{Malformed, Method, Request};
use super::token::Tokens;
use super::withheld::{self, Withheld};
use super::{ec2, install, keys, nocloud, openstack, report};
use crate::model::{Directory, Event, EventKind, Image, Network, Timestamp, Vm};
use crate::seed::{Facts, SeedError, Templates};

/// What the service answers from, at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// All records, at one revision.
    pub directory: &'a Directory,
    /// The templates, compiled.
    pub templates: &'a Templates,
    /// What makes session tokens and knows them again.
    pub tokens: &'a Tokens,
    /// When.
    pub now: Timestamp,
}

/// A request of a known VM, and all that is known when it is answered.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) case: Case<'a>,
    pub(super) vm: &'a Vm,
    pub(super) network: &'a Network,
    pub(super) request: &'a Request,
    /// The secrets that the VM is without, because they are not told (any more).
    pub(super) withheld: Withheld,
}

impl<'a> Asked<'a> {
    /// The image that the VM's disk is a clone of.
    pub(super) fn image(self) -> Option<&'a Image> {
        self.case.directory.image_of(&self.vm.hosting).map(Arc::as_ref)
    }

    /// What is true of the VM.
    pub(super) fn facts(self) -> Facts {
        Facts::of(self.vm, self.network, self.image())
    }
}

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
    /// A document was served, in the view of that name.
    Served {
        /// Which view.
        view: &'static str,
        /// The document.
        document: &'static str,
    },
    /// A session token was made.
    Token,
    /// A session token that is none of ours, is another VM's or has run out was shown, or none where one is needed.
    NoToken,
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
    /// The VM reported how far cloud-init is.
    Reported,
    /// A VM posted something that is not a phone home of its own.
    Refused(&'static str),
    /// The VM's document could not be made.
    Failed(SeedError),
}

/// The media type of everything but boot files.
pub(super) const TEXT: &str = "text/plain; charset=utf-8";

/// Answers a request: whoever is no VM of ours gets one sentence, and a VM what is its own in the view it asks for.
pub fn answer(case: Case<'_>, caller: &Caller, request: &Request) -> Response {
    let vm = match &caller.vm {
        Ok(vm) => vm,
        Err(stranger) => return to_stranger(stranger),
    };
    let segments = request.segments();
    let (vm, withheld) = withheld::told(case, vm, &segments);
    let vm = &vm;
    // By whichever NIC it asks, it is told the same: what follows from the network of its first.
    let of_first = || case.directory.network(&vm.network);
    let network = Some(&caller.network).filter(|network| network.name == vm.network);
    let network = network.or_else(of_first).unwrap_or(&caller.network);
    let asked = Asked {
        case,
        vm,
        network,
        request,
        withheld,
    };
    match segments.as_slice() {
        [] => read_only(request, || listing("nocloud/\nopenstack/\nlatest/")),
        ["nocloud", path @ ..] => nocloud::answer(asked, withheld::without_key(path)),
        ["openstack", path @ ..] => openstack::answer(asked, path),
        ["boot", name] => netboot::answer(case.directory, case.templates, (vm, network), request, name),
        ["install", name] => read_only(request, || install::answer(asked, name)),
        ["phone-home"] if request.method == Method::Post => phone_home(vm, &request.body),
        ["report"] if !network.metadata.reports => nothing_there(),
        ["report"] if request.method == Method::Post => report::answer(vm, &request.body),
        ["phone-home" | "report"] => wrong_method(("allow", "POST")),
        ["keys", account] => read_only(request, || keys::answer(asked, account)),
        [version, path @ ..] if ec2::is_version(version) => ec2::answer(asked, path),
        _ => nothing_there(),
    }
}

/// Whether the answer to a request depends on its body.
pub fn wants_body(caller: &Caller, request: &Request) -> bool {
    let posted = matches!(request.segments().as_slice(), ["phone-home" | "report"]);
    caller.vm.is_ok() && request.method == Method::Post && posted
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

/// The answer on a connection that another VM opened before the address became this one's.
pub fn to_another() -> Response {
    let why = "this connection was another machine's: open a new one";
    Response {
        header: Some(("connection", "close")),
        ..sentence(403, why, Verdict::Cut(why))
    }
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
        Stranger::Impostor { address, .. } | Stranger::OtherPort { address, .. } => (
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
        Method::Post | Method::Put | Method::Other => wrong_method(("allow", "GET, HEAD")),
    }
}

/// The answer when a document can not be made. Not 200: a first boot without its vendor-data would be taken for a good one,
/// and is never repeated.
pub(super) fn failed(error: SeedError) -> Response {
    Response {
        header: RETRY,
        ..sentence(
            503,
            "the document can not be made now; the log of the host says why",
            Verdict::Failed(error),
        )
    }
}

/// The answer that is one document of a view.
pub(super) fn document(
    view: &'static str,
    document: &'static str,
    content_type: &'static str,
    body: Arc<[u8]>,
) -> Response {
    Response {
        status: 200,
        content_type,
        body: Body::Bytes(body),
        header: None,
        event: None,
        verdict: Verdict::Served { view, document },
    }
}

/// Host keys and the end of the first boot. The guest's own word on its name is not even read.
fn phone_home(vm: &Vm, body: &[u8]) -> Response {
    let Ok(told) = PhoneHome::parse(body) else {
        return refused(400, "the body is not a form of cloud-init's phone_home");
    };
    // A guest that still runs as a former instance (a cloned disk, a stale cache) has not finished this one's first boot.
    let is_its_own =
        |told: &String| told == vm.instance_id().as_str() || *told == crate::seed::ec2::instance_id(vm);
    if !told.instance_id.as_ref().is_none_or(is_its_own) {
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

/// The answer that lists names, one a line.
pub(super) fn listing(names: &str) -> Response {
    sentence(200, names, Verdict::Listed)
}

pub(super) fn nothing_there() -> Response {
    sentence(
        404,
        "there is nothing at this path; / lists what there is",
        Verdict::NothingThere,
    )
}

pub(super) fn wrong_method(allow: (&'static str, &'static str)) -> Response {
    Response {
        header: Some(allow),
        ..sentence(405, "this path does not take that method", Verdict::WrongMethod)
    }
}

pub(super) fn refused(status: u16, why: &'static str) -> Response {
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
    /// The same response with the event that the document was fetched. One that could not be made was not, and a HEAD is no
    /// fetch.
    pub(super) fn seen_fetching(mut self, asked: Asked<'_>, document: &'static str) -> Self {
        self.event = (self.status == 200 && asked.request.method == Method::Get).then(|| Event {
            vm: asked.vm.name.clone(),
            kind: EventKind::Fetched {
                document,
                withheld: asked.withheld.from(document),
            },
        });
        self
    }
}

#[cfg(test)]
pub(super) mod tests;
