//! `clone`: what reaches the daemon.

use seedbed::control::{CloneVm, Request};

use crate::fake::{Fake, vm};

#[test]
fn a_clone_is_asked_for_with_its_names() {
    let fake = Fake::with_vms(vec![vm("web2", 12)]);
    assert_eq!(
        fake.run(&["clone", "web1", "web[2-3]", "db1", "--live", "--start"])
            .answer(),
        "web2 is ready at 10.77.0.12\n"
    );
    let request = CloneVm {
        vm: "web1".to_owned(),
        names: vec!["web[2-3]".to_owned(), "db1".to_owned()],
        live: true,
        start: true,
    };
    assert_eq!(fake.request(), Request::Clone(request));
    assert_eq!(fake.run(&["clone", "web1"]).code, 2);
}
