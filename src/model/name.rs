//! Names: each kind is a type of its own, checked once when it is made.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use smol_str::SmolStr;
use tinystr::TinyAsciiStr;

/// Why a text is not a name. The message says what is allowed, because the reader has to type another one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("a {kind} can not be empty")]
    Empty {
        /// What the name would have named.
        kind: &'static str,
    },
    /// Longer than the kind allows.
    #[error("{kind} `{text}` has {len} characters; at most {max} are allowed")]
    TooLong {
        /// What the name would have named.
        kind: &'static str,
        /// The refused text, escaped.
        text: String,
        /// Its length in characters.
        len: usize,
        /// The most that is allowed.
        max: usize,
    },
    /// A character outside the kind's alphabet, or one in the wrong place.
    #[error("{kind} `{text}` is not valid: use {allowed}")]
    Character {
        /// What the name would have named.
        kind: &'static str,
        /// The refused text, escaped.
        text: String,
        /// The rule in words.
        allowed: &'static str,
    },
    /// Well-formed, but it already means something else to resolvers or people.
    #[error("{kind} `{text}` is reserved: {why}")]
    Reserved {
        /// What the name would have named.
        kind: &'static str,
        /// The refused text.
        text: String,
        /// What it already means.
        why: &'static str,
    },
}

const LABEL_RULE: &str =
    "lower-case letters a-z, digits and hyphens, starting and ending with a letter or digit (RFC 1123)";
const IMAGE_RULE: &str =
    "lower-case letters a-z, digits, hyphens and dots, starting and ending with a letter or digit";
const ACCOUNT_RULE: &str =
    "lower-case letters a-z, digits, hyphens and underscores, starting with a letter or an underscore";
const SECRET_RULE: &str = "lower-case letters a-z, digits and underscores, starting with a letter, so that templates can write secrets.NAME";
const QEMU_RULE: &str = "letters, digits, `-`, `_` and `.`, starting and ending with a letter or digit";
const INTERFACE_RULE: &str = "letters, digits, `-`, `_` and `.`, starting and ending with a letter or digit";

/// A name that many records hold: one word in each, and the text once, where they are clones of each other.
type Shared = Arc<Box<str>>;

/// An interface's name: `IFNAMSIZ` octets with the kernel's own zero, in place.
type Interface = TinyAsciiStr<15>;

/// Declares one kind of name: a text that only its checker can make, kept in a form that suits how many there are.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident($form:ty), $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($form);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> Result<(), NameError> = $check;
                check(text).and_then(|()| Form::of(text)).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.as_str())
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }
    };
}

/// How a kind of name is kept.
trait Form: Sized {
    /// Keeps a text that was checked.
    fn of(text: &str) -> Result<Self, NameError>;
}

impl Form for SmolStr {
    fn of(text: &str) -> Result<Self, NameError> {
        Ok(Self::new(text))
    }
}

impl Form for Shared {
    fn of(text: &str) -> Result<Self, NameError> {
        Ok(Self::new(text.into()))
    }
}

impl Form for Interface {
    fn of(text: &str) -> Result<Self, NameError> {
        Self::try_from_str(text).map_err(|_| character("interface name", text, INTERFACE_RULE))
    }
}

name!(
    /// A VM's name: one RFC 1123 host label in lower case, so that it is also its hostname and DNS label.
    VmName(SmolStr),
    |text| {
        label("VM name", text)?;
        if text == "localhost" {
            return Err(reserved("VM name", text, "every host calls itself that"));
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(reserved("VM name", text, "a name of digits only is read as an address by many tools"));
        }
        Ok(())
    }
);

/// Found in maps by what a guest sent, without making a name of that.
impl Borrow<str> for VmName {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

name!(
    /// A network's name, as written in the configuration.
    NetworkName(Shared),
    |text| label("network name", text)
);

name!(
    /// A base image's name.
    ImageName(Shared),
    |text| {
        bounded("image name", text, 63)?;
        let inner = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.');
        if inner && ends_alphanumeric(text) { Ok(()) } else { Err(character("image name", text, IMAGE_RULE)) }
    }
);

name!(
    /// The name of a snapshot of a VM, and of the directory of its disks.
    SnapshotName(Shared),
    |text| {
        bounded("snapshot name", text, 63)?;
        let inner = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.');
        if inner && ends_alphanumeric(text) { Ok(()) } else { Err(character("snapshot name", text, IMAGE_RULE)) }
    }
);

name!(
    /// A seed template's name: the stem of a file in `seed-templates/`.
    TemplateName(Shared),
    |text| label("template name", text)
);

name!(
    /// The name of a key in the key ring.
    KeyName(Shared),
    |text| label("key name", text)
);

name!(
    /// Whoever VMs and keys belong to: a person, or a team.
    OwnerName(Shared),
    |text| label("owner", text)
);

name!(
    /// The name of a user or a group inside a guest, as useradd(8) takes it without being talked into more.
    AccountName(Shared),
    |text| {
        bounded("account name", text, 32)?;
        let first = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
        let inner = text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'));
        if first && inner { Ok(()) } else { Err(character("account name", text, ACCOUNT_RULE)) }
    }
);

name!(
    /// The name of a secret of a VM, which templates write as `secrets.NAME`.
    SecretName(Shared),
    |text| {
        bounded("secret name", text, 63)?;
        let first = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        let inner = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if first && inner { Ok(()) } else { Err(character("secret name", text, SECRET_RULE)) }
    }
);

name!(
    /// The DNS domain of a network: one or more RFC 1123 labels, at most 190 octets so that any VM name fits before it.
    Domain(Shared),
    |text| {
        bounded("domain", text, 190)?;
        text.split('.')
            .try_for_each(|part| label("domain", part).map_err(|_| character("domain", text, LABEL_RULE)))?;
        match text.rsplit('.').next() {
            Some("local") => Err(reserved("domain", text, "names under `local` are looked up by multicast DNS (RFC 6762)")),
            Some("localhost" | "invalid" | "onion") => {
                Err(reserved("domain", text, "resolvers answer that top-level name by themselves (RFC 6761)"))
            }
            _ => Ok(()),
        }
    }
);

name!(
    /// A bridge's interface name: 1 to 15 octets (`IFNAMSIZ`), without `/`, white space or `:`.
    BridgeName(Interface),
    |text| interface("bridge name", text)
);

name!(
    /// A tap's interface name: 1 to 15 octets (`IFNAMSIZ`).
    TapName(Interface),
    |text| interface("tap name", text)
);

name!(
    /// A machine type of QEMU's, with its version: `pc-q35-7.2`.
    MachineType(Shared),
    |text| qemu_word("machine type", text)
);

name!(
    /// A model of a processor, as QEMU calls it: `EPYC-Rome-v4`.
    CpuModel(Shared),
    |text| qemu_word("CPU model", text)
);

name!(
    /// The name of a disk that a VM has beside its own, which is its serial number too.
    DiskName(SmolStr),
    |text| {
        // virtio-blk has room for 20 octets (VIRTIO 1.2, section 5.2.6).
        bounded("disk name", text, 20)?;
        label("disk name", text)?;
        match text {
            "root" | "swap" | "cidata" => Err(reserved("disk name", text, "every VM's own disks are called that")),
            _ => Ok(()),
        }
    }
);

/// A word that stands in one of QEMU's options, and means nothing else there.
fn qemu_word(kind: &'static str, text: &str) -> Result<(), NameError> {
    bounded(kind, text, 40)?;
    let inner = text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if inner && ends_alphanumeric(text) {
        Ok(())
    } else {
        Err(character(kind, text, QEMU_RULE))
    }
}

fn label(kind: &'static str, text: &str) -> Result<(), NameError> {
    bounded(kind, text, 63)?;
    let inner = text
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if inner && ends_alphanumeric(text) {
        Ok(())
    } else {
        Err(character(kind, text, LABEL_RULE))
    }
}

fn interface(kind: &'static str, text: &str) -> Result<(), NameError> {
    bounded(kind, text, 15)?;
    let inner = text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if inner && ends_alphanumeric(text) {
        Ok(())
    } else {
        Err(character(kind, text, INTERFACE_RULE))
    }
}

fn bounded(kind: &'static str, text: &str, max: usize) -> Result<(), NameError> {
    let len = text.chars().count();
    match len {
        0 => Err(NameError::Empty { kind }),
        _ if len > max => Err(NameError::TooLong {
            kind,
            text: shown(text),
            len,
            max,
        }),
        _ => Ok(()),
    }
}

fn ends_alphanumeric(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    edge(text.chars().next()) && edge(text.chars().next_back())
}

fn character(kind: &'static str, text: &str, allowed: &'static str) -> NameError {
    NameError::Character {
        kind,
        text: shown(text),
        allowed,
    }
}

fn reserved(kind: &'static str, text: &str, why: &'static str) -> NameError {
    NameError::Reserved {
        kind,
        text: shown(text),
        why,
    }
}

/// What of a refused text may be printed: escaped, and never a screenful.
fn shown(text: &str) -> String {
    let escaped: String = text.escape_debug().take(64).collect();
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_vm_name_is_an_rfc_1123_label_in_lower_case() {
        for good in ["a", "web1", "db-01", "1a", &"x".repeat(63)] {
            assert_eq!(good.parse::<VmName>().map(|n| n.to_string()), Ok(good.to_owned()));
        }
        let bad = [
            "",
            "-a",
            "a-",
            "a_b",
            "a.b",
            "Web",
            "wéb",
            "a b",
            "a\n",
            "a\0",
            "../etc",
            "127",
            "localhost",
            &"x".repeat(64),
        ];
        for text in bad {
            assert!(text.parse::<VmName>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_refusal_names_the_text_and_the_rule() {
        let error = "Web_1".parse::<VmName>().unwrap_err().to_string();
        assert!(error.contains("`Web_1`") && error.contains("RFC 1123"), "{error}");
    }

    #[test]
    fn a_domain_is_one_that_resolvers_ask_for() {
        for good in ["lab", "lab.example", "home.arpa"] {
            assert_eq!(good.parse::<Domain>().unwrap().as_str(), good);
        }
        for bad in ["", ".", "lab.", "La b", "local", "vm.local", "localhost", "a..b"] {
            assert!(bad.parse::<Domain>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn an_interface_name_fits_the_kernel() {
        assert_eq!("br0".parse::<BridgeName>().unwrap().as_str(), "br0");
        for text in [
            "",
            "sixteen-letters-",
            "a/b",
            "a b",
            "a:b",
            "..",
            "abcdefghijklmnop",
        ] {
            assert!(text.parse::<BridgeName>().is_err(), "{text:?} was accepted");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_name_or_a_short_refusal(text in ".*") {
            match text.parse::<VmName>() {
                Ok(name) => prop_assert_eq!(name.as_str(), text),
                Err(error) => prop_assert!(error.to_string().chars().count() < 300),
            }
        }
    }
}
