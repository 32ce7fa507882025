//! Which known name was probably meant by one that is not known.

/// The known name that is so near to another that it must have been meant: a letter or two apart, in any case, with `-` for `_`.
/// Short names, which are near to each other anyway, have to be nearer; of several the nearest, then the first in the alphabet.
pub(super) fn meant<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let normal = |name: &str| name.to_lowercase().replace('-', "_");
    let name = normal(name);
    let most = match name.chars().count() {
        0..=2 => 0,
        3..=5 => 1,
        6..=60 => 2,
        _ => return None,
    };
    known
        .into_iter()
        .map(|known| (strsim::osa_distance(&name, &normal(known)), known))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_meant_where_one_is_near() {
        let known = ["ntp", "hostname", "swap_device", "packages", "package_update"];
        for (name, expected) in [
            ("hostnam", Some("hostname")),
            ("swapdevice", Some("swap_device")),
            ("Package-Updaet", Some("package_update")),
            ("package", Some("packages")),
            ("npt", Some("ntp")),
            ("nt", None),
            ("colour", None),
            ("", None),
            (&*"x".repeat(61), None),
        ] {
            assert_eq!(meant(name, known), expected, "{name}");
        }
        assert_eq!(meant("kex", ["key", "keg"]), Some("keg"));
    }
}
