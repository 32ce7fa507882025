//! Lists as they are published, and as nobody should publish them.

use proptest::prelude::*;

use super::*;

fn sha256(digit: char) -> String {
    digit.to_string().repeat(64)
}

fn sha512(digit: char) -> String {
    digit.to_string().repeat(128)
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "it is compared with what is found, which may be an error"
)]
fn parsed(text: &str) -> Result<Checksum, SumsError> {
    Ok(text.parse().unwrap())
}

#[test]
fn debians_and_ubuntus_lists_are_read() {
    let debian = format!(
        "{}  debian-12-generic-amd64.json\n{}  debian-12-generic-amd64.qcow2\n",
        sha512('1'),
        sha512('2')
    );
    let path = "/images/cloud/bookworm/latest/debian-12-generic-amd64.qcow2";
    assert_eq!(find(&debian, path), parsed(&sha512('2')));
    let ubuntu = format!(
        "{} *noble-server-cloudimg-amd64.img\r\n{} *noble-server-cloudimg-arm64.img\r\n",
        sha256('a'),
        sha256('b')
    );
    assert_eq!(
        find(&ubuntu, "noble-server-cloudimg-amd64.img"),
        parsed(&sha256('a'))
    );
}

#[test]
fn fedoras_signed_list_is_read() {
    let name = "Fedora-Cloud-Base-Generic-41-1.4.x86_64.qcow2";
    let list = format!(
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n# {name}: 468647936 bytes\nSHA256 ({name}) = {}\n\
         -----BEGIN PGP SIGNATURE-----\n\niQIzBAEBCAAdFiEEyB0d\n=abcd\n-----END PGP SIGNATURE-----\n",
        sha256('c')
    );
    assert_eq!(find(&list, &format!("/pub/fedora/{name}")), parsed(&sha256('c')));
}

#[test]
fn openssls_lines_and_names_with_brackets_are_read() {
    let list = format!(
        "SHA2-512(disk (1).raw)= {}\nSHA256 (disk.raw) = {}\n",
        sha512('d'),
        sha256('e')
    );
    assert_eq!(find(&list, "disk (1).raw"), parsed(&sha512('d')));
    assert_eq!(find(&list, "disk.raw"), parsed(&sha256('e')));
}

#[test]
fn a_file_with_nothing_but_a_checksum_is_that_of_its_neighbour() {
    assert_eq!(
        find(&format!("{}\n", sha512('f')), "x.qcow2"),
        parsed(&sha512('f'))
    );
    let two = format!("{}\n{}\n", sha512('f'), sha512('e'));
    assert_eq!(
        find(&two, "x.qcow2"),
        Err(SumsError::NotListed("x.qcow2".to_owned()))
    );
}

#[test]
fn the_stronger_of_two_checksums_counts() {
    let list = format!(
        "{}  x.raw\n{}  x.raw\n{}  x.raw\n",
        "a".repeat(32),
        sha512('1'),
        sha256('2')
    );
    assert_eq!(find(&list, "x.raw"), parsed(&sha512('1')));
}

#[test]
fn files_of_the_same_name_are_told_apart_by_their_folders() {
    let list = format!(
        "{}  ./netboot/mini.iso\n{}  ./netboot/gtk/mini.iso\n",
        sha256('1'),
        sha256('2')
    );
    let at = |path: &str| find(&list, path);
    assert_eq!(at("/images/netboot/mini.iso"), parsed(&sha256('1')));
    assert_eq!(at("/images/netboot/gtk/mini.iso"), parsed(&sha256('2')));
    assert_eq!(
        at("/home/ann/mini.iso"),
        Err(SumsError::Ambiguous("mini.iso".to_owned()))
    );
}

#[test]
fn a_file_that_was_moved_is_found_by_its_name() {
    let list = format!("{}  bookworm/x.raw\n", sha256('1'));
    assert_eq!(find(&list, "/tmp/x.raw"), parsed(&sha256('1')));
}

#[test]
fn what_a_list_does_not_have_is_told() {
    let weak = format!("{}  x.raw\n{}  y.raw\n", "a".repeat(40), sha256('1'));
    assert_eq!(find(&weak, "x.raw"), Err(SumsError::Weak("x.raw".to_owned())));
    assert_eq!(
        find(&weak, "z.raw"),
        Err(SumsError::NotListed("z.raw".to_owned()))
    );
    assert_eq!(find("<html>404</html>\n", "x.raw"), Err(SumsError::None));
    assert_eq!(find("", "x.raw"), Err(SumsError::None));
}

#[test]
fn another_algorithm_of_the_same_length_is_not_taken_for_ours() {
    let list = format!(
        "BLAKE2b (x.raw) = {}\nSHA3-256 (x.raw) = {}\n",
        sha512('1'),
        sha256('2')
    );
    assert_eq!(find(&list, "x.raw"), Err(SumsError::Weak("x.raw".to_owned())));
}

proptest! {
    #[test]
    fn no_list_panics(list in "[ -~\\n\\t()*=\u{e9}]{0,300}", path in "[a-z./()]{0,20}") {
        drop(find(&list, &path));
    }

    #[test]
    fn a_file_is_found_in_every_form_among_others(
        name in "[a-zA-Z0-9._()-]{1,30}",
        sum in any::<[u8; 32]>(),
        others in prop::collection::vec(("[a-z]{31,40}", any::<[u8; 32]>()), 0..5),
        form in 0..3_usize,
    ) {
        let sum = Checksum::Sha256(sum);
        let mut lines: Vec<_> = others
            .iter()
            .map(|(name, sum)| format!("{}  {name}", Checksum::Sha256(*sum)))
            .collect();
        lines.push(match form {
            0 => format!("{sum}  {name}"),
            1 => format!("{sum} *./{name}"),
            _ => format!("SHA256 ({name}) = {sum}"),
        });
        prop_assert_eq!(find(&lines.join("\n"), &format!("/pub/{name}")), Ok(sum));
    }
}
