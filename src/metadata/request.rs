//! A request as the rules see it: checked once, small, owned, free of any HTTP library's types.

use std::net::Ipv4Addr;

use crate::model::Network;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path's segments, decoded: `/nocloud//meta-data/` is `["nocloud", "meta-data"]`.
    pub path: Vec<String>,
    /// The body, where the method has one.
    pub body: Vec<u8>,
    /// The session token it shows (EC2's second version), and for how long it asks for one, as they were written.
    pub session: Session,
}

/// What a request says of session tokens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Session {
    /// `X-aws-ec2-metadata-token`.
    pub token: Option<String>,
    /// `X-aws-ec2-metadata-token-ttl-seconds`.
    pub seconds: Option<String>,
}

/// The methods that mean something here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Get,
    /// HEAD: as GET, without the body.
    Head,
    /// POST.
    Post,
    /// PUT: asks for a session token.
    Put,
    /// Any other.
    Other,
}

impl Method {
    /// The method of that name; methods are case-sensitive (RFC 9110 §9.1).
    pub fn named(name: &str) -> Self {
        match name {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            _ => Self::Other,
        }
    }
}

/// Why a request is refused before anyone looks at who sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The path is none that can name anything here.
    #[error("this path can not be read: {0}")]
    Path(&'static str),
    /// It came through a proxy, or from a web page: the guest itself sends no such header.
    #[error("a request with the header {0} is not a guest's own and is refused")]
    Relayed(&'static str),
    /// It was meant for another host: a web page that was led here by a rebound name would say its own.
    #[error("this service answers only to its own address, and the request is for another host")]
    Host,
}

/// Headers that only proxies and browsers send.
pub const RELAYED: [&str; 9] = [
    "x-forwarded-for",
    "forwarded",
    "via",
    "x-real-ip",
    "origin",
    "sec-fetch-site",
    "sec-fetch-mode",
    "sec-fetch-dest",
    "sec-fetch-user",
];

/// The longest path that is looked at, in bytes.
const MAX_PATH: usize = 1_024;

impl Request {
    /// Reads the path: decoded once, empty segments dropped, anything that climbs refused. The query has been cut off.
    pub fn of(method: Method, path: &str) -> Result<Self, Malformed> {
        if path.len() > MAX_PATH {
            return Err(Malformed::Path("it is too long"));
        }
        if !path.starts_with('/') {
            return Err(Malformed::Path("it does not start with `/`"));
        }
        let bytes =
            percent_decoded(path.as_bytes(), false).ok_or(Malformed::Path("it has a broken % escape"))?;
        let text = String::from_utf8(bytes).map_err(|_| Malformed::Path("it is not UTF-8"))?;
        if text.chars().any(char::is_control) {
            return Err(Malformed::Path("it has control characters"));
        }
        let path: Vec<String> = text
            .split('/')
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect();
        if path.iter().any(|part| part == "." || part == "..") {
            return Err(Malformed::Path("it has `.` or `..` in it"));
        }
        Ok(Self {
            method,
            path,
            body: Vec::new(),
            session: Session::default(),
        })
    }

    /// The path's segments, to match on.
    pub fn segments(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }
}

/// Refuses what a guest's own request never has. `names` are the names of its headers, in any case.
pub fn check_headers<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<(), Malformed> {
    for name in names {
        if let Some(refused) = RELAYED
            .into_iter()
            .find(|refused| name.eq_ignore_ascii_case(refused))
        {
            return Err(Malformed::Relayed(refused));
        }
    }
    Ok(())
}

/// Checks that a Host header (or the host of an absolute URL) is the gateway's address or the one that metadata services
/// have on every cloud, with or without a port.
pub fn check_host(host: &str, gateway: Ipv4Addr) -> Result<(), Malformed> {
    let (name, port) = host.split_once(':').unwrap_or((host, ""));
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let own = |address: Ipv4Addr| address == gateway || address == Network::METADATA_ADDRESS;
    if digits && name.parse().is_ok_and(own) {
        Ok(())
    } else {
        Err(Malformed::Host)
    }
}

/// Undoes percent-encoding once (RFC 3986 §2.1); with `plus`, a `+` is a space, as in forms. `None` for a broken escape.
pub(super) fn percent_decoded(bytes: &[u8], plus: bool) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(&byte) = rest.next() {
        out.push(match byte {
            b'%' => {
                let (high, low) = (hex(*rest.next()?)?, hex(*rest.next()?)?);
                high << 4 | low
            }
            b'+' if plus => b' ',
            other => other,
        });
    }
    Some(out)
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(text: &str) -> Result<Vec<String>, Malformed> {
        Request::of(Method::Get, text).map(|request| request.path)
    }

    #[test]
    fn a_path_is_decoded_once_and_its_slashes_collapse() {
        for text in [
            "/nocloud/meta-data",
            "//nocloud//meta-data",
            "/nocloud/meta-data/",
            "/nocloud/%6deta-data",
            "/nocloud%2Fmeta-data",
        ] {
            assert_eq!(path(text).unwrap(), ["nocloud", "meta-data"], "{text}");
        }
        assert_eq!(path("/%252e%252e/x").unwrap(), ["%2e%2e", "x"]);
        assert_eq!(path("/").unwrap(), [""; 0]);
    }

    #[test]
    fn h04_a_path_that_climbs_or_can_not_be_read_is_refused() {
        for text in [
            "",
            "*",
            "nocloud",
            "/..",
            "/nocloud/../x",
            "/%2e%2e/x",
            "/%2E%2e%2fx",
            "/nocloud/./x",
            "/%",
            "/%2",
            "/%zz",
            "/%ff",
            "/%c0%ae",
            "/a%00b",
            "/a%0ab",
            &format!("/{}", "x".repeat(1_024)),
        ] {
            assert!(path(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn h08_h09_a_header_that_only_proxies_and_browsers_send_is_refused() {
        for name in [
            "X-Forwarded-For",
            "forwarded",
            "VIA",
            "x-real-ip",
            "Origin",
            "Sec-Fetch-Site",
        ] {
            assert!(check_headers(["host", name]).is_err(), "{name} was accepted");
        }
        assert_eq!(check_headers(["host", "user-agent", "accept"]), Ok(()));
    }

    #[test]
    fn h07_a_host_is_the_gateways_address_or_that_of_every_cloud() {
        let gateway = Ipv4Addr::new(10, 77, 0, 1);
        for good in ["10.77.0.1", "10.77.0.1:80", "10.77.0.1:", "169.254.169.254"] {
            assert_eq!(check_host(good, gateway), Ok(()), "{good}");
        }
        for bad in [
            "",
            "10.77.0.2",
            "evil.example",
            "10.77.0.1.evil.example",
            "10.77.0.1:x",
            "[::1]:80",
            "10.77.0.1:80:80",
        ] {
            assert!(check_host(bad, gateway).is_err(), "{bad} was accepted");
        }
    }

    proptest! {
        #[test]
        fn any_path_is_read_or_refused(text in "\\PC{0,80}") {
            if let Ok(segments) = path(&format!("/{text}")) {
                prop_assert!(segments.iter().all(|part| !part.is_empty() && !part.contains('/') && part != ".."));
            }
        }

        #[test]
        fn encoding_every_byte_changes_nothing(text in "[a-z/]{0,40}") {
            let encoded = text.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat();
            prop_assert_eq!(path(&format!("/{encoded}")), path(&format!("/{text}")));
        }
    }
}
