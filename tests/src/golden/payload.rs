//! The contents of the datagram: modes, versions, opcodes, forms.

use super::case::{Golden, OUTSIDER, drops, golden, passes};
use crate::frame::{
    Frame,
    payload::{MONLIST, READVAR, time},
};
use ntpguard::daemon::dialect::Dialect;
use ntpguard_common::Reason;

/// All cases of this file.
pub(super) fn cases() -> Vec<Golden> {
    [modes(), forms()].concat()
}

/// Every mode, version and opcode that is known from attacks; nobody may query.
fn modes() -> Vec<Golden> {
    let conf = "debian-ntpsec.conf";
    let query = |name, bytes: &[u8], reason| {
        golden(name, conf, &Frame::from(OUTSIDER, 40000).payload(bytes), drops(reason))
    };
    let with_zeros = |head: &[u8], length: usize| {
        let mut bytes = head.to_vec();
        bytes.resize(length, 0);
        bytes
    };
    let mut all = vec![
        query("monlist", MONLIST, Reason::Mode7),
        query("monlist as ntpdc pads it", &with_zeros(MONLIST, 192), Reason::Mode7),
        query("monlist of older ntpdc", &with_zeros(MONLIST, 48), Reason::Mode7),
        query("monlist, version 1", &with_zeros(&[0x0f, 0, 3, 42], 8), Reason::Mode7),
        query("monlist, version 3", &with_zeros(&[0x1f, 0, 3, 42], 8), Reason::Mode7),
        query("monlist, version 4 with leap bits", &with_zeros(&[0x67, 0, 3, 42], 8), Reason::Mode7),
        query("monlist, request 20", &with_zeros(&[0x17, 0, 3, 20], 8), Reason::Mode7),
        query("monlist, implementation 2", &with_zeros(&[0x17, 0, 2, 42], 8), Reason::Mode7),
        query("mode 7 response arriving here", &with_zeros(&[0xd7, 0, 3, 42], 440), Reason::Response),
        query("mode 7, one byte", &[0x17], Reason::Malformed),
        query("mode 7, seven bytes", &MONLIST[..7], Reason::Mode7),
        query("readvar", READVAR, Reason::Mode6),
        query("mode 6 response arriving here", &with_zeros(&[0x16, 0x82, 0, 1], 480), Reason::Response),
        query("mode 6, eleven bytes", &READVAR[..11], Reason::Mode6),
        query("mode 6, one byte", &[0x16], Reason::Malformed),
        golden("empty payload", conf, &Frame::from(OUTSIDER, 40000), drops(Reason::Malformed)),
    ];
    for (name, opcode) in [
        ("readstat", 1),
        ("read_mru", 10),
        ("ordlist", 11),
        ("req_nonce", 12),
        ("unsettrap", 31),
        ("settrap", 6),
    ] {
        all.push(query(name, &with_zeros(&[0x16, opcode, 0, 1], 12), Reason::Mode6));
    }
    for (name, request) in [
        ("peer list", 0),
        ("peer list sum", 1),
        ("sysinfo", 4),
        ("get restrict", 16),
        ("traps", 29),
        ("if stats", 44),
    ] {
        all.push(query(name, &with_zeros(&[0x17, 0, 3, request], 8), Reason::Mode7));
    }
    for (name, mode, version) in [
        ("mode 0, version 1", 0, 1),
        ("symmetric active", 1, 4),
        ("symmetric passive", 2, 4),
        ("client", 3, 4),
        ("client, version 1", 3, 1),
        ("client, version 5", 3, 5),
        ("server, unasked", 4, 4),
        ("broadcast", 5, 4),
    ] {
        let frame = Frame::from(OUTSIDER, 123).payload(&time(mode, version));
        all.push(golden(name, conf, &frame, passes(Reason::Time)));
    }
    let padded = |length| Frame::from(OUTSIDER, 40000).payload(&with_zeros(&time(3, 4), length));
    all.push(golden("client with MD5 MAC", conf, &padded(68), passes(Reason::Time)));
    all.push(golden("client with SHA-1 MAC", conf, &padded(72), passes(Reason::Time)));
    // The trailing zeros aren't valid extension fields, but NTPsec parses these only when it verifies NTS.
    all.push(golden("client with NTS", conf, &padded(1012), passes(Reason::Time)).before(Dialect::NtpSec));
    all
}

/// What every daemon discards for its form, from a source that may do everything.
fn forms() -> Vec<Golden> {
    let permitted = |name, bytes: &[u8], reason| {
        golden(name, "flags.conf", &Frame::from("198.51.100.66", 40000).payload(bytes), passes(reason))
    };
    let changed = |bytes: &[u8], at: usize, value: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at] = value;
        bytes
    };
    let mut all = vec![
        permitted("time packet of 47 bytes", &time(3, 4)[..47], Reason::Malformed),
        permitted("time packet of version 0", &time(3, 0), Reason::Malformed),
        permitted("mode 0 of version 4", &time(0, 4), Reason::Mode),
        permitted("mode 0 of version 1", &time(0, 1), Reason::Time),
        permitted("time packet of version 7", &time(3, 7), Reason::Time),
        permitted("readvar", READVAR, Reason::Query),
        permitted("readvar with leap bits", &changed(READVAR, 0, 0xd6), Reason::Query),
        permitted("monlist, authenticated", &changed(MONLIST, 1, 0x80), Reason::Query),
        permitted("monlist with items", &changed(MONLIST, 5, 1), Reason::Query),
        permitted("mode 6 response", &changed(READVAR, 1, 0x82), Reason::Response),
        permitted("mode 7 response", &changed(MONLIST, 0, 0x97), Reason::Response),
        permitted("readvar, more data announced than sent", &changed(READVAR, 11, 4), Reason::BadQuery),
        permitted("readvar of an odd length", &[READVAR, &[0]].concat(), Reason::BadQuery),
        permitted("mode 7 of an unknown implementation", &changed(MONLIST, 2, 9), Reason::BadQuery),
        permitted("mode 7, more items than sent", &[&MONLIST[..5], &[1, 0, 72]].concat(), Reason::BadQuery),
    ];
    for (name, at, value) in [
        ("mode 6 of version 0", 0, 0x06),
        ("mode 6 of version 5", 0, 0x2e),
        ("mode 6 error", 1, 0x42),
        ("mode 6, more to come", 1, 0x22),
        ("mode 6 at an offset", 9, 4),
    ] {
        all.push(permitted(name, &changed(READVAR, at, value), Reason::Malformed));
    }
    for (name, at, value) in [
        ("mode 7 of version 0", 0, 0x07),
        ("mode 7 of version 5", 0, 0x2f),
        ("mode 7, more to come", 0, 0x57),
        ("mode 7 with a sequence number", 1, 1),
        ("mode 7 error", 4, 0x40),
        ("mode 7, not zero where it must be", 6, 0x10),
    ] {
        all.push(permitted(name, &changed(MONLIST, at, value), Reason::Malformed));
    }
    all
}
