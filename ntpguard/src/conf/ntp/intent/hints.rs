//! Advice for restrict lines that were probably meant otherwise: what to write instead.

use crate::{
    conf::{
        diagnostic::Code,
        ntp::{Family, Flags, Target, target::literal},
    },
    daemon::dialect::{Daemon, Dialect},
};
use std::net::{IpAddr, Ipv4Addr};

/// What to write instead of a word that stands where an address belongs.
pub(crate) fn instead_of(word: &str) -> Option<String> {
    let help = match word {
        "restrict" => "write `restrict` once".to_owned(),
        "all" => "did you mean `default`?".to_owned(),
        "-4" | "-6" => "write a line for each family, or neither `-4` nor `-6`: that is both".to_owned(),
        "mask" => "write the address before `mask`".to_owned(),
        // A flag, so the address is missing.
        _ if !Flags::dialects(word).is_empty() => {
            format!("to mean everyone, write `restrict default {word}`")
        }
        _ => return None,
    };
    Some(help)
}

/// The mask that was meant by a router's wildcard mask, which has ones where a mask has zeros: `0.0.0.255` for
/// `255.255.255.0`. Only if the wildcard makes no sense as a mask of this address, since it would cut off some of the
/// address's bits.
pub(crate) fn wildcard(address: IpAddr, mask: IpAddr) -> Option<IpAddr> {
    let (address, mask, all) = match (address, mask) {
        (IpAddr::V4(address), IpAddr::V4(mask)) => {
            (address.to_bits().into(), u128::from(mask.to_bits()), u128::from(u32::MAX))
        }
        (IpAddr::V6(address), IpAddr::V6(mask)) => (address.to_bits(), mask.to_bits(), u128::MAX),
        _ => return None,
    };
    let last_bits = mask != 0 && mask != all && mask & (mask + 1) == 0;
    let cuts = address & !mask & all != 0;
    let meant = !mask & all;
    (last_bits && cuts).then(|| match u32::try_from(all) {
        Ok(_) => IpAddr::V4(Ipv4Addr::from_bits(meant as u32)),
        Err(_) => IpAddr::V6(meant.into()),
    })
}

/// What was probably meant by a word that is neither an address nor a name that resolves.
pub(crate) fn unresolved(name: &str) -> (Code, &'static str) {
    let numeric = |c: char| c.is_ascii_hexdigit() || ".:*/".contains(c);
    match name {
        "any" | "all" | "*" | "Default" | "DEFAULT" => (Code::BadAddress, "did you mean `default`?"),
        "default" => (Code::BadAddress, "write `default` without quotes"),
        "source" => (Code::BadAddress, "4.2.8 and NTPsec know `restrict source`; leave the line away here"),
        "anyone" | "anybody" | "everyone" | "everybody" | "world" | "any/any" => {
            (Code::BadAddress, "did you mean `default`?")
        }
        _ if name.chars().all(numeric) && name.contains(['.', ':']) => {
            (Code::BadAddress, "write an address: four numbers up to 255, or a whole IPv6 address")
        }
        _ => (
            Code::UnresolvedName,
            "see to its spelling, and to DNS when the daemon starts: that is when it looks the name up",
        ),
    }
}

/// What a daemon does with a mask after a name; `None` where it does what was meant. (ntp_config.c:config_access: 4.2.6
/// resolves to one address; 4.2.8p18 ignores the mask, Bug 3872; 4.2.8 before it and NTPsec give the other addresses a
/// host mask.)
pub(crate) fn mask_of_name(name: &str, mask: IpAddr, daemon: Daemon) -> Option<String> {
    let host = mask == IpAddr::from([255; 4]) || mask == IpAddr::from([255; 16]);
    if daemon.is_p18() {
        let message = format!(
            "after a name the daemon doesn't heed a mask: the line speaks of the addresses of `{name}` alone"
        );
        return (!host).then_some(message);
    }
    let others = match daemon.dialect {
        Dialect::Ntp426 => "the daemon takes no other",
        Dialect::Ntp428 | Dialect::NtpSec => "its other addresses have none",
    };
    let (family, everyone) = match Family::of(mask) {
        Family::V4 => ("IPv6", "::/0"),
        Family::V6 => ("IPv4", "0.0.0.0/0"),
    };
    Some(format!(
        "the mask goes with the first address of `{name}`, and {others}; is that one of {family}, the line speaks of \
         {everyone}, which is everyone"
    ))
}

/// Advice about a comma among flags, by the word after it.
pub(crate) fn after_comma(next: Option<&str>) -> String {
    match next.filter(|next| literal(next).is_some()) {
        Some(address) => format!("a line speaks of one address: write another line `restrict {address}`"),
        None => "flags are separated by spaces".to_owned(),
    }
}

/// What was probably meant by a second address on a line: a mask without the word `mask`, or another address.
pub(crate) fn second_address(word: &str, target: &Target) -> Option<String> {
    let bare = word.split_once('/').map_or(word, |(address, _)| address);
    let address = literal(bare)?;
    let is_mask = bare == word
        && ipnet::ip_mask_to_prefix(address).is_ok_and(|length| length > 0)
        && matches!(target, Target::Address(first) if Family::of(*first) == Family::of(address));
    Some(if is_mask {
        format!("did you mean `mask {address}`?")
    } else {
        format!("a line speaks of one address: write another line `restrict {word}`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_of_routers() {
        let wildcard = |address: &str, mask: &str| {
            wildcard(address.parse().unwrap(), mask.parse().unwrap()).map(|mask| mask.to_string())
        };
        for (address, mask, meant) in [
            ("192.0.2.0", "0.0.0.255", Some("255.255.255.0")),
            ("10.0.0.0", "0.255.255.255", Some("255.0.0.0")),
            ("198.51.100.128", "0.0.0.127", Some("255.255.255.128")),
            ("172.16.0.0", "0.15.255.255", Some("255.240.0.0")),
            ("2001:db8::", "::ffff:ffff:ffff", Some("ffff:ffff:ffff:ffff:ffff::")),
            // Masks, and what may have been meant as written.
            ("192.0.2.0", "255.255.255.0", None),
            ("0.0.0.0", "0.0.0.0", None),
            ("192.0.2.7", "255.255.255.255", None),
            ("0.0.0.5", "0.0.0.255", None),
            ("10.0.0.5", "255.0.0.255", None),
        ] {
            assert_eq!(wildcard(address, mask).as_deref(), meant, "{address} {mask}");
        }
    }
}
