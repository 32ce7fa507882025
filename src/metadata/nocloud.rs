//! cloud-init's `NoCloud`: four documents under `/nocloud/`.

use super::answer::{Asked, Response, TEXT, document, failed, listing, nothing_there, read_only};
use crate::seed::{self, Document};

/// Answers a request below `/nocloud/`.
///
/// A known VM gets 200 for each of its four documents, with an empty body where there is nothing: anything else costs a guest
/// ten seconds or its datasource (guest-contract §1.3).
pub(super) fn answer(asked: Asked<'_>, path: &[&str]) -> Response {
    match path {
        [] => read_only(asked.request, || {
            let names: Vec<_> = Document::ALL.into_iter().map(Document::as_str).collect();
            listing(&names.join("\n"))
        }),
        [name] => match Document::named(name) {
            Some(which) => read_only(asked.request, || served(asked, which)),
            None => nothing_there(),
        },
        _ => nothing_there(),
    }
}

fn served(asked: Asked<'_>, which: Document) -> Response {
    let made = seed::document(
        which,
        asked.case.templates,
        asked.vm,
        asked.network,
        asked.image(),
    );
    match made {
        Ok(body) => document("nocloud", which.as_str(), TEXT, body).seen_fetching(asked, which.as_str()),
        Err(error) => failed(error),
    }
}
