//! What makes a hardware address fit for a VM, on top of [`mac_address::MacAddress`].

pub use mac_address::MacAddress;

/// Why a text is not a hardware address that a VM can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MacError {
    /// Not six hexadecimal octets.
    #[error("MAC address `{0}` is not six hexadecimal octets such as 52:54:00:12:34:56")]
    Malformed(String),
    /// Group bit set: a station can not have it as its own (IEEE 802).
    #[error("MAC address {0} is a multicast or broadcast address: the first octet must be even")]
    Multicast(MacAddress),
    /// All octets zero.
    #[error("MAC address 00:00:00:00:00:00 means \"none\": choose another")]
    Zero,
}

/// Reads a VM's hardware address: six octets separated by `:` or `-`, unicast and not zero.
pub fn parse(text: &str) -> Result<MacAddress, MacError> {
    let malformed = || MacError::Malformed(text.escape_debug().take(40).collect());
    // mac_address also reads forms without any separator; a roster's typing error should not become an address.
    if text.len() != 17 {
        return Err(malformed());
    }
    let mac: MacAddress = text.parse().map_err(|_| malformed())?;
    check(mac)?;
    Ok(mac)
}

/// Checks that a hardware address can be one station's own.
pub fn check(mac: MacAddress) -> Result<(), MacError> {
    let [first, ..] = mac.bytes();
    if mac.bytes() == [0; 6] {
        Err(MacError::Zero)
    } else if first & 1 == 1 {
        Err(MacError::Multicast(mac))
    } else {
        Ok(())
    }
}

/// The address as everyone on Linux writes it: lower case, colons.
pub fn text(mac: MacAddress) -> String {
    let [a, b, c, d, e, f] = mac.bytes();
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unicast_addresses_of_six_octets_are_accepted() {
        for good in ["52:54:00:12:34:56", "52-54-00-12-34-56", "52:54:00:AB:CD:EF"] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "52:54:00:12:34",
            "52:54:00:12:34:56:78",
            "525400123456",
            "zz:54:00:12:34:56",
            "01:00:5e:00:00:01",
            "ff:ff:ff:ff:ff:ff",
            "00:00:00:00:00:00",
        ] {
            assert!(parse(bad).is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn it_is_written_in_lower_case_with_colons() {
        assert_eq!(text(parse("52-54-00-AB-CD-EF").unwrap()), "52:54:00:ab:cd:ef");
    }
}
