//! EC2's metadata service: `/latest/` and dated versions, with session tokens for who asks for one.

use std::sync::Arc;

use super::answer::{
    Asked, Response, TEXT, Verdict, document, listing, nothing_there, read_only, sentence, wrong_method,
};
use super::request::Method;
use crate::model::network::Ec2Tokens;
use crate::seed::ec2::{self, Found, VERSIONS};

/// Whether a path's first segment is a version of this service.
pub(super) fn is_version(segment: &str) -> bool {
    VERSIONS.contains(&segment)
}

/// Answers a request below `/VERSION/`.
///
/// A token is asked for only where the network says so: cirros, cloudbase-init and older clients have none. One that is shown
/// has to be good.
pub(super) fn answer(asked: Asked<'_>, path: &[&str]) -> Response {
    if path == ["api", "token"] {
        return token(asked);
    }
    match &asked.request.session.token {
        Some(token) if !asked.case.tokens.accepts(asked.vm.uuid, token, asked.case.now) => {
            return without_token("this token is not good (any more): ask for another");
        }
        None if asked.network.metadata.ec2_tokens == Ec2Tokens::Required => {
            return without_token("a session token is needed: PUT /latest/api/token gives one");
        }
        Some(_) | None => {}
    }
    match path {
        [] => read_only(asked.request, || {
            let user_data = if asked.vm.user_data.is_some() {
                "\nuser-data"
            } else {
                ""
            };
            listing(&format!("dynamic/\nmeta-data/{user_data}"))
        }),
        ["user-data"] => read_only(asked.request, || match &asked.vm.user_data {
            Some(user_data) => told(asked, "user-data", Arc::clone(user_data)),
            None => nothing_there(),
        }),
        ["meta-data" | "dynamic", ..] => read_only(asked.request, || found(asked, path)),
        // Old clients ask for the leaves of meta-data here.
        _ => read_only(asked.request, || found(asked, &[&["meta-data"], path].concat())),
    }
}

fn without_token(why: &str) -> Response {
    sentence(401, why, Verdict::NoToken)
}

fn found(asked: Asked<'_>, path: &[&str]) -> Response {
    match ec2::find(&asked.facts(), asked.vm, path) {
        Some(Found::Listing(names)) => listing(&names),
        // The one leaf that every client asks for.
        Some(Found::Leaf(value)) if path == ["meta-data", "instance-id"] => {
            told(asked, "meta-data", Arc::from(value.into_bytes()))
        }
        Some(Found::Leaf(value)) => document("ec2", "meta-data", TEXT, Arc::from(value.into_bytes())),
        None => nothing_there(),
    }
}

fn told(asked: Asked<'_>, name: &'static str, body: Arc<[u8]>) -> Response {
    document("ec2", name, TEXT, body).seen_fetching(asked, name)
}

/// A session token. Nothing but a PUT makes one, and nothing but a program that sets headers gets there.
fn token(asked: Asked<'_>) -> Response {
    if asked.request.method != Method::Put {
        return wrong_method(("allow", "PUT"));
    }
    let seconds = asked.request.session.seconds.as_deref();
    match asked.case.tokens.issue(asked.vm.uuid, seconds, asked.case.now) {
        Some(token) => Response {
            verdict: Verdict::Token,
            ..document("ec2", "token", TEXT, Arc::from(token.into_bytes()))
        },
        None => sentence(
            400,
            "X-aws-ec2-metadata-token-ttl-seconds has to be 1 to 21600",
            Verdict::Refused("a session token was asked for without a time"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::tests::{asked, asked_by, asked_on, bytes, text};
    use super::super::request::{Request, Session};
    use super::*;
    use crate::seed::tests::network;

    fn get(name: &str, path: &str) -> Response {
        asked_by(name, Method::Get, path, "")
    }

    /// A request with these words about tokens.
    fn with(method: Method, path: &str, token: Option<&str>, seconds: Option<&str>) -> Request {
        let mut request = Request::of(method, path).unwrap();
        request.session = Session {
            token: token.map(str::to_owned),
            seconds: seconds.map(str::to_owned),
        };
        request
    }

    /// Walks what is listed, as clients do.
    fn crawl(vm: &str, path: &str, leaves: &mut Vec<String>) {
        let response = get(vm, path);
        assert_eq!(response.status, 200, "{path}");
        if response.verdict != Verdict::Listed {
            return leaves.push(path.to_owned());
        }
        for name in text(&response).lines() {
            let name = name.split('=').next().unwrap();
            crawl(vm, &format!("{}/{name}", path.trim_end_matches('/')), leaves);
        }
    }

    #[test]
    fn everything_that_is_listed_is_there_in_each_version() {
        for version in VERSIONS {
            let mut leaves = Vec::new();
            crawl("web1", &format!("/{version}/"), &mut leaves);
            assert!(leaves.contains(&format!("/{version}/user-data")), "{leaves:?}");
            assert!(leaves.contains(&format!("/{version}/meta-data/public-keys/0/openssh-key")));
            assert!(leaves.contains(&format!("/{version}/dynamic/instance-identity/document")));
        }
        assert_eq!(get("web2", "/latest/user-data").status, 404);
        assert_eq!(get("web1", "/2030-01-01/meta-data/").status, 404);
        assert_eq!(text(&get("web1", "/2009-04-04/instance-id")), "i-7573fe52e13e");
    }

    #[test]
    fn h15_a_token_that_is_shown_has_to_be_the_vms_own() {
        let put = |vm: &str, seconds| asked(vm, &with(Method::Put, "/latest/api/token", None, seconds));
        let (web1, web2) = (put("web1", Some("60")), put("web2", Some("60")));
        assert_eq!((web1.status, web2.status), (200, 200));
        let read = |token: &Response| {
            let token = Some(text(token));
            asked(
                "web1",
                &with(Method::Get, "/latest/meta-data/hostname", token, None),
            )
        };
        assert_eq!(text(&read(&web1)), "web1.lab");
        assert_eq!(read(&web2).status, 401);
        for time in [None, Some("0"), Some("21601"), Some("soon")] {
            assert_eq!(put("web1", time).status, 400, "{time:?}");
        }
        let got = asked("web1", &with(Method::Get, "/latest/api/token", None, Some("60")));
        assert_eq!(got.status, 405);
        // Without one, as cirros and others ask.
        assert_eq!(bytes(&get("web1", "/latest/meta-data/local-ipv4")), b"10.77.0.5");
    }

    #[test]
    fn h15_where_a_token_is_needed_nothing_of_the_tree_is_read_without_one() {
        let strict = |request: &Request| {
            let mut network = network("10.77.0.1/24");
            network.metadata.ec2_tokens = Ec2Tokens::Required;
            asked_on(network, "web1", request)
        };
        let get = |path, token| strict(&with(Method::Get, path, token, None));
        for path in [
            "/latest/",
            "/latest/user-data",
            "/2009-04-04/instance-id",
            "/latest/meta-data/hostname",
            "/latest/nothing",
        ] {
            assert_eq!(get(path, None).status, 401, "{path}");
        }
        let token = strict(&with(Method::Put, "/latest/api/token", None, Some("60")));
        let hostname = get("/latest/meta-data/hostname", Some(text(&token)));
        assert_eq!(text(&hostname), "web1.lab");
        // The other views have no tokens.
        assert_eq!(get("/openstack/latest/meta_data.json", None).status, 200);
    }
}
