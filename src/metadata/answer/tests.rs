//! The rules of the metadata service, one by one.

use super::*;
use crate::seed::Document;
use crate::seed::tests::{network, vm};

const WEB1: &str = "10.77.0.5";
const INSTANCE: &str = "7573fe52-e13e-82a6-a9ae-40fb6a351c25";

fn directory() -> Directory {
    let mut directory = Directory::of([network("10.77.0.1/24")]);
    let mut web1 = vm("web1", WEB1);
    web1.user_data = Some(Arc::from(&b"#!/bin/sh\nsecret of web1\n"[..]));
    directory.put_vm(Arc::new(web1));
    directory.put_vm(Arc::new(vm("web2", "10.77.0.6")));
    directory
}

pub(in crate::metadata) fn asked_by(name: &str, method: Method, path: &str, body: &str) -> Response {
    let mut request = Request::of(method, path).unwrap();
    request.body = body.as_bytes().to_vec();
    asked(name, &request)
}

pub(in crate::metadata) fn asked(name: &str, request: &Request) -> Response {
    asked_on(network("10.77.0.1/24"), name, request)
}

pub(in crate::metadata) fn asked_on(network: Network, name: &str, request: &Request) -> Response {
    let directory = directory();
    let vm = Arc::clone(directory.vm(&name.parse().unwrap()).unwrap());
    let caller = Caller {
        network: Arc::new(network),
        source: vm.address,
        vm: Ok(vm),
    };
    from(&directory, &caller, request)
}

/// What a caller is answered from this directory.
pub(in crate::metadata) fn from(directory: &Directory, caller: &Caller, request: &Request) -> Response {
    let case = Case {
        directory,
        templates: &Templates::load(None).unwrap(),
        tokens: &Tokens::under([7; 32]),
        now: Timestamp(1_000),
    };
    answer(case, caller, request)
}

pub(in crate::metadata) fn bytes(response: &Response) -> &[u8] {
    match &response.body {
        Body::Bytes(bytes) => bytes,
        Body::File(file) => panic!("{file} is sent"),
    }
}

pub(in crate::metadata) fn text(response: &Response) -> &str {
    std::str::from_utf8(bytes(response)).unwrap()
}

#[test]
fn a_known_vm_gets_200_for_each_of_its_four_documents() {
    for document in Document::ALL {
        let response = asked_by("web1", Method::Get, &format!("/nocloud/{document}"), "");
        assert_eq!(response.status, 200, "{document}");
        let fetched = EventKind::Fetched {
            document: document.as_str(),
            withheld: false,
        };
        assert_eq!(response.event.unwrap().kind, fetched);
    }
    assert_eq!(
        bytes(&asked_by("web2", Method::Get, "/nocloud/user-data", "")).len(),
        0
    );
}

#[test]
fn each_vm_reads_its_own_documents_under_the_same_path() {
    let one = asked_by("web1", Method::Get, "/nocloud/meta-data", "");
    let two = asked_by("web2", Method::Get, "/nocloud/meta-data", "");
    assert!(text(&one).contains("\"web1.lab\"") && !text(&one).contains("web2"));
    assert!(text(&two).contains("\"web2.lab\"") && !text(&two).contains("web1"));
}

#[test]
fn a_head_is_answered_but_is_no_fetch() {
    let response = asked_by("web1", Method::Head, "/nocloud/meta-data", "");
    assert_eq!((response.status, response.event), (200, None));
}

#[test]
fn the_directory_lists_what_there_is() {
    let names = "meta-data\nuser-data\nvendor-data\nnetwork-config\n";
    assert_eq!(text(&asked_by("web1", Method::Get, "/nocloud/", "")), names);
    assert_eq!(
        text(&asked_by("web1", Method::Get, "/", "")),
        "nocloud/\nopenstack/\nlatest/\n"
    );
}

#[test]
fn what_is_not_there_is_404_and_what_is_not_allowed_405() {
    for (method, path, status) in [
        (Method::Get, "/nocloud/meta-data/x", 404),
        (Method::Get, "/nocloud/META-DATA", 404),
        (Method::Get, "/web2/meta-data", 404),
        (Method::Post, "/nocloud/meta-data", 405),
        (Method::Other, "/nocloud/", 405),
        (Method::Get, "/phone-home", 405),
    ] {
        let response = asked_by("web1", method, path, "");
        assert_eq!((response.status, response.event), (status, None), "{path}");
    }
}

fn stranger(vm: Stranger) -> Response {
    let caller = Caller {
        network: Arc::new(network("10.77.0.1/24")),
        source: WEB1.parse().unwrap(),
        vm: Err(vm),
    };
    let request = Request::of(Method::Get, "/nocloud/user-data").unwrap();
    from(&directory(), &caller, &request)
}

#[test]
fn a_stranger_is_told_in_one_sentence_and_served_nothing() {
    let response = stranger(Stranger::Unregistered {
        address: "10.77.0.99".parse().unwrap(),
        network: "lab".parse().unwrap(),
    });
    assert_eq!((response.status, &response.event), (404, &None));
    assert_eq!(
        text(&response),
        "10.77.0.99 is not the address of a registered VM on network lab\n"
    );
}

#[test]
fn whoever_speaks_as_a_vm_that_does_not_run_is_told_to_wait_and_served_nothing() {
    let response = stranger(Stranger::Unguarded {
        address: WEB1.parse().unwrap(),
        vm: "web1".parse().unwrap(),
    });
    assert_eq!(
        (response.status, response.header, &response.event),
        (503, RETRY, &None)
    );
    assert_eq!(text(&response), "ask again\n");
}

#[test]
fn an_impostor_learns_nothing_about_the_vm_whose_address_it_took() {
    let (registered, seen) = (vm("web1", WEB1).mac, vm("web2", "10.77.0.6").mac);
    let response = stranger(Stranger::Impostor {
        address: WEB1.parse().unwrap(),
        vm: "web1".parse().unwrap(),
        registered,
        seen,
    });
    assert_eq!((response.status, &response.event), (404, &None));
    let text = text(&response);
    assert!(
        !text.contains("web1") && !text.contains("secret") && !text.contains("52:54"),
        "{text}"
    );
}

#[test]
fn an_unconfirmed_caller_is_asked_to_come_again() {
    let response = stranger(Stranger::Unconfirmed {
        address: WEB1.parse().unwrap(),
        vm: "web1".parse().unwrap(),
    });
    assert_eq!(
        (response.status, response.header),
        (503, Some(("retry-after", "2")))
    );
}

#[test]
fn a_phone_home_is_an_event_of_the_caller_whatever_name_it_gives() {
    let body = format!(
        "pub_key_rsa=N%2FA&pub_key_ed25519=ssh-ed25519+AAAAC3NzaC1lZDI1NTE5AAAAICIMQgT%2BhT6lZg2VZi0xE%2FKbCgo9%2BezXib3Z75YClk7l\
         +root%40x&instance_id={INSTANCE}&hostname=web2&fqdn=web2.lab"
    );
    let response = asked_by("web1", Method::Post, "/phone-home", &body);
    assert_eq!(response.status, 200);
    let event = response.event.unwrap();
    assert_eq!(event.vm.as_str(), "web1");
    let EventKind::PhonedHome { host_keys } = event.kind else {
        panic!("{event:?}");
    };
    assert_eq!(host_keys.len(), 1);
}

#[test]
fn a_phone_home_of_another_instance_is_refused_without_an_event() {
    let response = asked_by(
        "web2",
        Method::Post,
        "/phone-home",
        &format!("instance_id={INSTANCE}"),
    );
    assert_eq!((response.status, response.event), (409, None));
    let response = asked_by("web2", Method::Post, "/phone-home", "not a form");
    assert_eq!((response.status, response.event), (400, None));
}

#[test]
fn a_template_that_is_gone_holds_the_guest_instead_of_serving_half_a_seed() {
    let directory = directory();
    let mut web1 = vm("web1", WEB1);
    web1.template = "gone".parse().unwrap();
    let caller = Caller {
        network: Arc::new(network("10.77.0.1/24")),
        source: web1.address,
        vm: Ok(Arc::new(web1)),
    };
    let ask = |path| from(&directory, &caller, &Request::of(Method::Get, path).unwrap());
    let response = ask("/nocloud/vendor-data");
    assert_eq!((response.status, response.event), (503, None));
    assert_eq!(ask("/nocloud/meta-data").status, 200);
}

#[test]
fn a_relayed_request_is_403_and_an_unreadable_one_400() {
    assert_eq!(to_malformed(Malformed::Relayed("via")).status, 403);
    assert_eq!(to_malformed(Malformed::Host).status, 403);
    assert_eq!(to_malformed(Malformed::Path("x")).status, 400);
}

#[test]
fn a_vm_is_told_the_same_by_whichever_nic_it_asks() {
    let back = Network {
        name: "back".parse().unwrap(),
        domain: "back".parse().unwrap(),
        ..network("10.78.0.1/24")
    };
    let mut directory = Directory::of([network("10.77.0.1/24"), back.clone()]);
    let web1 = crate::model::examples::with_nic(vm("web1", WEB1), "back", "10.78.0.5");
    directory.put_vm(Arc::new(web1.clone()));
    let told = |network: &Network, path: &str| {
        let nic = web1.nic_on(&network.name).unwrap();
        let caller = Caller {
            network: Arc::new(network.clone()),
            source: nic.address,
            vm: Ok(Arc::new(web1.clone())),
        };
        let request = Request::of(Method::Get, path).unwrap();
        text(&from(&directory, &caller, &request)).to_owned()
    };
    for path in [
        "/nocloud/meta-data",
        "/nocloud/vendor-data",
        "/nocloud/network-config",
        "/openstack/latest/network_data.json",
        "/latest/meta-data/local-ipv4",
    ] {
        let (first, second) = (told(&network("10.77.0.1/24"), path), told(&back, path));
        assert!(!first.is_empty() && first == second, "{path}:\n{first}\n{second}");
    }
}
