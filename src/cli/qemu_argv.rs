//! Which hardware address a guest has behind a tap, as the command line of its QEMU says. Pure.

use serde_json::Value;

/// What QEMU gives the first card that it is told no address for (`qemu_macaddr_default_if_unset`).
const DEFAULT: &str = "52:54:00:12:34:56";

/// What a network option says, whichever it is.
#[derive(Debug)]
struct Part {
    id: Option<String>,
    netdev: Option<String>,
    ifname: Option<String>,
    mac: Option<String>,
}

/// The hardware addresses that the guest may have behind the interface: one, where the command line names the interface, and
/// those of all its cards where QEMU chose the name.
pub(super) fn macs(argv: &[&str], interface: &str) -> Vec<String> {
    let options = argv.windows(2).filter_map(|pair| match pair {
        [
            "-netdev" | "--netdev" | "-device" | "--device" | "-nic" | "--nic" | "-net" | "--net",
            value,
        ] => Some(part(value)),
        _ => None,
    });
    let parts: Vec<_> = options.collect();
    let named = parts
        .iter()
        .find(|part| part.ifname.as_deref() == Some(interface));
    if let Some(named) = named {
        // `-nic` is both ends in one; a `-netdev` has its card elsewhere.
        let card = |part: &&Part| part.netdev.is_some() && part.netdev == named.id;
        let mac = named
            .mac
            .as_ref()
            .or_else(|| parts.iter().find(card)?.mac.as_ref());
        if let Some(mac) = mac {
            return vec![mac.clone()];
        }
    }
    let all: Vec<_> = parts.into_iter().filter_map(|part| part.mac).collect();
    if all.is_empty() {
        vec![DEFAULT.to_owned()]
    } else {
        all
    }
}

fn part(value: &str) -> Part {
    let json = serde_json::from_str::<Value>(value).ok().filter(Value::is_object);
    let of = |key: &str| {
        if let Some(json) = &json {
            return json.get(key).and_then(Value::as_str).map(str::to_owned);
        }
        let mut words = value.split(',');
        words.find_map(|word| word.strip_prefix(key)?.strip_prefix('=').map(str::to_owned))
    };
    Part {
        id: of("id"),
        netdev: of("netdev"),
        ifname: of("ifname"),
        mac: of("mac").or_else(|| of("macaddr")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "52:54:00:00:00:0a";
    const B: &str = "52:54:00:00:00:0b";

    fn behind(line: &str, interface: &str) -> Vec<String> {
        macs(&line.split(' ').collect::<Vec<_>>(), interface)
    }

    #[test]
    fn the_card_of_a_named_tap_is_found_however_it_is_written() {
        for line in [
            "qemu -netdev tap,id=n1,ifname=tap1,script=x -device virtio-net-pci,netdev=n1,mac=52:54:00:00:00:0b \
             -netdev tap,id=n0,ifname=tap0 -device e1000,mac=52:54:00:00:00:0a,netdev=n0",
            "qemu -nic tap,ifname=tap1,mac=52:54:00:00:00:0b -nic tap,ifname=tap0,model=e1000,mac=52:54:00:00:00:0a",
            r#"qemu -netdev {"type":"tap","id":"n0","ifname":"tap0"} -device {"driver":"e1000","netdev":"n0","mac":"52:54:00:00:00:0a"}"#,
        ] {
            assert_eq!(behind(line, "tap0"), [A], "{line}");
        }
    }

    #[test]
    fn where_qemu_chose_the_name_it_may_be_any_card() {
        let line = "qemu -netdev tap,id=n0 -device virtio-net-pci,netdev=n0,mac=52:54:00:00:00:0a -nic user,mac=52:54:00:00:00:0b";
        assert_eq!(behind(line, "tap0"), [A, B]);
        assert_eq!(behind("qemu -nic tap,script=x -m 1G", "tap0"), [DEFAULT]);
        assert_eq!(behind("", "tap0"), [DEFAULT]);
    }
}
