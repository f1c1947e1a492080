//! The policies that are measured, and the frames that they judge.

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

/// Numbers of rules against networks and hosts, in addition to two lines that every policy has.
pub const RULES: [u32; 5] = [0, 10, 1000, 100_000, 1_000_000];
/// The default size of the table of sources.
pub const SOURCES: u32 = 1 << 18;
/// The bits of a `limited` source's address that vary: the host bits of [`LIMITED_NET`].
pub const LIMITED_BITS: u32 = (1 << 29) - 1;
/// The network of sources that are `limited`: an eighth of IPv4.
const LIMITED_NET: &str = "32.0.0.0";

/// NTPsec limits all sources by default, so these lines turn that off.
pub const DEFAULT: &str = "restrict default nomodify noquery\nunrestrict default limited\n";

/// The same for a daemon whose state is queried over its own loopback.
pub const DAEMON: &str =
    "restrict default nomodify noquery\nunrestrict default limited\nrestrict 127.0.0.1\nrestrict ::1\n";

/// An ntp.conf in which nobody may query, one network is `limited`, and this many others are ignored.
pub fn text(rules: u32) -> String {
    let mut text = format!("{DEFAULT}restrict {LIMITED_NET} mask 224.0.0.0 limited nomodify noquery\n");
    for number in 0..rules {
        let (address, length) = rule(number);
        let mask = Ipv4Addr::from_bits(u32::MAX << (32 - u32::from(length)));
        // Writing to a `String` can't fail.
        let _ = writeln!(text, "restrict {address} mask {mask} ignore");
    }
    text
}

/// The network or host with this number that is ignored.
pub fn rule(number: u32) -> (Ipv4Addr, u8) {
    let length = spread::length(number);
    let mask = u32::MAX << (32 - u32::from(length));
    (Ipv4Addr::from_bits(spread::address(number) & mask), length)
}

/// Compiles a policy for NTPsec, on a host without addresses.
///
/// # Errors
/// The file can't be written.
pub fn image(text: &str) -> Result<Image> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), text)?;
    let conf = ntp::read(Some(file.path()), Daemon::new(Dialect::NtpSec))?;
    let nobody = |_: &str| Err(io::Error::from(io::ErrorKind::NotFound));
    let policy = Policy::resolve(&conf, &nobody, &[]);
    Ok(Image::compile(&policy, &conf, Hardening::ALL))
}

/// The filter with this policy in force.
///
/// # Errors
/// No right to do so, or no memory.
pub fn guard(rules: u32) -> Result<Guard> {
    let image = image(&text(rules))?;
    let mut guard = Guard::load(Object::Filter, Size::of(&image, SOURCES))?;
    guard.install(&image).with_context(|| format!("{rules} rules"))?;
    Ok(guard)
}

/// A monlist request from a source that no rule names.
pub fn monlist() -> Frame {
    Frame::from("192.0.2.66", 40000).payload(payload::MONLIST)
}

/// A time request from this source.
pub fn request(from: &str) -> Frame {
    Frame::from(from, 40000).payload(&payload::time(3, 4))
}

/// A time request from a `limited` source, with zeros in the bits of [`LIMITED_BITS`].
pub fn limited() -> Frame {
    request(LIMITED_NET)
}

/// The frame in the form that the flood program needs: the program fills in the source's free bits, which have to be zero, and
/// keeps the IPv4 header checksum correct by the identification field, which has to be 0xffff. There is no UDP checksum.
pub fn made_up(frame: &Frame) -> Vec<u8> {
    let mut frame = frame.build();
    let identification = u16::from_be_bytes([frame[18], frame[19]]);
    frame[18..20].fill(0xff);
    // 0xffff adds nothing to the one's complement sum, so only the old identification has to be accounted for.
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
        // Only the two lines that are in every policy match other networks.
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
