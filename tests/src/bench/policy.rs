//! The policies that are measured, and the frames that meet them.

use crate::{
    bpf::spread,
    frame::{Frame, payload},
};
use anyhow::{Context as _, Result};
use ntpguard::{
    bpf::{Guard, Object, Size},
    compile::{Hardening, Image},
    conf::ntp,
    daemon::dialect::{Daemon, Dialect},
    policy::Policy,
};
use std::{fmt::Write as _, io, net::Ipv4Addr};

/// Rules against so many networks and hosts, beside two lines that stand in every policy.
pub const RULES: [u32; 5] = [0, 10, 1000, 100_000, 1_000_000];
/// As many sources can be remembered as by default.
pub const SOURCES: u32 = 1 << 18;
/// The bits of a `limited` source's address that are free: those of [`LIMITED_NET`].
pub const LIMITED_BITS: u32 = (1 << 29) - 1;
/// The network of sources that are `limited`: an eighth of IPv4.
const LIMITED_NET: &str = "32.0.0.0";

/// NTPsec limits everybody unless it is told not to.
pub const DEFAULT: &str = "restrict default nomodify noquery\nunrestrict default limited\n";

/// The same for a daemon that is asked how it is, over its own loopback.
pub const DAEMON: &str =
    "restrict default nomodify noquery\nunrestrict default limited\nrestrict 127.0.0.1\nrestrict ::1\n";

/// The ntp.conf: nobody may query, one network is `limited`, and so many others are ignored.
pub fn text(rules: u32) -> String {
    let mut text = format!("{DEFAULT}restrict {LIMITED_NET} mask 224.0.0.0 limited nomodify noquery\n");
    for number in 0..rules {
        let (address, length) = rule(number);
        let mask = Ipv4Addr::from_bits(u32::MAX << (32 - u32::from(length)));
        // A String takes everything.
        let _ = writeln!(text, "restrict {address} mask {mask} ignore");
    }
    text
}

/// The n-th network or host that is ignored.
pub fn rule(number: u32) -> (Ipv4Addr, u8) {
    let length = spread::length(number);
    let mask = u32::MAX << (32 - u32::from(length));
    (Ipv4Addr::from_bits(spread::address(number) & mask), length)
}

/// Compiles a policy as for NTPsec, on a host without addresses.
///
/// # Errors
/// No place for the file.
pub fn image(text: &str) -> Result<Image> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), text)?;
    let conf = ntp::read(Some(file.path()), Daemon::new(Dialect::NtpSec))?;
    let nobody = |_: &str| Err(io::Error::from(io::ErrorKind::NotFound));
    let policy = Policy::resolve(&conf, &nobody, &[]);
    Ok(Image::compile(&policy, &conf, Hardening::ALL))
}

/// The filter with that policy in force.
///
/// # Errors
/// No right to, or no memory.
pub fn guard(rules: u32) -> Result<Guard> {
    let image = image(&text(rules))?;
    let mut guard = Guard::load(Object::Filter, Size::of(&image, SOURCES))?;
    guard.install(&image).with_context(|| format!("{rules} rules"))?;
    Ok(guard)
}

/// A stranger's monlist.
pub fn monlist() -> Frame {
    Frame::from("192.0.2.66", 40000).payload(payload::MONLIST)
}

/// A time request of somebody's.
pub fn request(from: &str) -> Frame {
    Frame::from(from, 40000).payload(&payload::time(3, 4))
}

/// One of a source that is limited, with zeros for [`LIMITED_BITS`].
pub fn limited() -> Frame {
    request(LIMITED_NET)
}

/// As the flood wants it: it writes the source, whose bits are zero, and keeps the IPv4 header's sum right by the
/// identification, which is 0xffff; there is no UDP checksum.
pub fn made_up(frame: &Frame) -> Vec<u8> {
    let mut frame = frame.build();
    let identification = u16::from_be_bytes([frame[18], frame[19]]);
    frame[18..20].fill(0xff);
    // 0xffff adds nothing to the sum that the old identification added to.
    let check = u32::from(u16::from_be_bytes([frame[24], frame[25]])) + u32::from(identification);
    frame[24..26].copy_from_slice(&((check & 0xffff) as u16 + (check >> 16) as u16).to_be_bytes());
    frame[40..42].fill(0);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_rule_has_a_network_of_its_own() {
        let networks: HashSet<_> = (0..1 << 20).map(|number| rule(number).0.to_bits() >> 8).collect();
        assert_eq!(networks.len(), 1 << 20);
        // No rule but the two that are always there speaks of the others.
        assert!(networks.iter().all(|network| network >> 22 == 2));
    }

    #[test]
    fn every_source_meets_its_rule() {
        let image = image(&text(100)).unwrap();
        for number in 0..100 {
            let source =
                ntpguard::policy::network::source(Ipv4Addr::from_bits(spread::address(number)).into());
            let rule = image.rule_of(&source, 40000).unwrap();
            assert_eq!(rule.net.address(), super::rule(number).0);
        }
    }
}
