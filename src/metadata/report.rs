//! What cloud-init's webhook posts: the stages and modules it starts and finishes (`cloudinit/reporting/events.py`).

use serde::Deserialize;

use super::answer::{Response, Verdict, refused, sentence};
use crate::model::boot::{Outcome, Report};
use crate::model::{Event, EventKind, Vm};

/// The most of a name and of a description that is kept, in characters: both are the guest's own words.
const NAME: usize = 100;
const DESCRIPTION: usize = 300;

/// One event, as it is posted. Files, which it may carry too, are not looked at.
#[derive(Deserialize)]
struct Posted {
    name: String,
    #[serde(default)]
    description: String,
    event_type: String,
    #[serde(default)]
    result: Option<String>,
}

/// Takes a report in. Whose it is says the connection, and nothing in it.
pub(super) fn answer(vm: &Vm, body: &[u8]) -> Response {
    let Some(report) = read(body) else {
        return refused(400, "the body is no event of cloud-init's webhook reporter");
    };
    Response {
        event: Some(Event {
            vm: vm.name.clone(),
            kind: EventKind::Reported(report),
        }),
        ..sentence(200, "thank you", Verdict::Reported)
    }
}

fn read(body: &[u8]) -> Option<Report> {
    let posted: Posted = serde_json::from_slice(body).ok()?;
    let outcome = match (posted.event_type.as_str(), posted.result.as_deref()) {
        ("start", _) => None,
        ("finish", Some("SUCCESS") | None) => Some(Outcome::Success),
        ("finish", Some("WARN")) => Some(Outcome::Warning),
        ("finish", Some("FAIL")) => Some(Outcome::Failure),
        _ => return None,
    };
    Some(Report {
        name: printable(&posted.name, NAME),
        description: printable(&posted.description, DESCRIPTION),
        outcome,
    })
}

/// A guest's words as they may be shown on a terminal and kept: one line, and not much of it.
fn printable(text: &str, most: usize) -> String {
    let shown = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    shown.take(most).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::answer::tests::{asked_by, asked_on};
    use super::super::request::{Method, Request};
    use super::*;
    use crate::seed::tests::network;

    /// What is answered where reports are asked for.
    fn sent(method: Method, body: &str) -> Response {
        let mut network = network("10.77.0.1/24");
        network.metadata.reports = true;
        let mut request = Request::of(method, "/report").unwrap();
        request.body = body.as_bytes().to_vec();
        asked_on(network, "web1", &request)
    }

    fn posted(body: &str) -> Response {
        sent(Method::Post, body)
    }

    #[test]
    fn what_the_clients_post_is_an_event_of_the_caller() {
        // As 22.4 posted it, with what else it may carry.
        let body = r#"{"name": "modules-final/config-scripts-user", "description": "running config-scripts-user",
            "event_type": "finish", "origin": "cloudinit", "timestamp": 1700000000.5, "result": "FAIL",
            "files": [{"path": "/etc/shadow", "content": "eA==", "encoding": "base64"}]}"#;
        let response = posted(body);
        let report = Report {
            name: "modules-final/config-scripts-user".to_owned(),
            description: "running config-scripts-user".to_owned(),
            outcome: Some(Outcome::Failure),
        };
        let event = response.event.unwrap();
        assert_eq!((response.status, event.vm.as_str()), (200, "web1"));
        assert_eq!(event.kind, EventKind::Reported(report));
    }

    #[test]
    fn what_is_no_event_is_refused_and_a_get_is_told_how() {
        for body in [
            "",
            "{}",
            "[]",
            r#"{"name": "x", "event_type": "begin"}"#,
            r#"{"name": 1, "event_type": "start"}"#,
            r#"{"name": "x", "event_type": "finish", "result": "MAYBE"}"#,
        ] {
            let response = posted(body);
            assert_eq!((response.status, response.event), (400, None), "{body}");
        }
        let asked = sent(Method::Get, "");
        assert_eq!((asked.status, asked.header), (405, Some(("allow", "POST"))));
        // Where nobody asked for reports there is nothing to post them to.
        assert_eq!(asked_by("web1", Method::Post, "/report", "{}").status, 404);
    }

    #[test]
    fn words_of_a_guest_are_one_short_line() {
        let body = format!(
            r#"{{"name": "a\u001b[2Jb\nc", "description": "{}", "event_type": "start"}}"#,
            "x".repeat(5_000)
        );
        let report = read(body.as_bytes()).unwrap();
        assert_eq!(report.name, "a [2Jb c");
        assert_eq!(report.description.len(), DESCRIPTION);
    }

    proptest! {
        #[test]
        fn any_body_is_a_report_or_refused(body in prop::collection::vec(any::<u8>(), 0..300), name in ".*") {
            prop_assert!(read(&body).is_none_or(|report| report.name.chars().count() <= NAME));
            let json = serde_json::json!({"name": name, "event_type": "start"}).to_string();
            let report = read(json.as_bytes()).unwrap();
            prop_assert!(report.name.chars().count() <= NAME && !report.name.chars().any(char::is_control));
        }
    }
}
