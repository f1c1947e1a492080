//! The heads of NTP packets: modes and header lengths (RFC 5905 §7.3, RFC 9327 §2, ntpd's ntp_request.h).

use crate::packet::Packet;

/// The UDP port of NTP.
pub const PORT: u16 = 123;

/// Length in bytes of a time packet's header (RFC 5905 §7.3).
pub const TIME_HEADER_LEN: usize = 48;

/// Length in bytes of a mode 6 (control) header (RFC 9327 §2).
pub const CONTROL_HEADER_LEN: usize = 12;

/// Length in bytes of a mode 7 (private) header.
pub const PRIVATE_HEADER_LEN: usize = 8;

/// Whether 4.2.6, 4.2.8 and NTPsec all discard a time packet by its form: shorter than its header, version 0,
/// or mode 0 in another version than 1 (ntp_proto.c:receive; NTPsec's is_packet_not_low_rot).
#[inline(always)]
pub const fn discards_time(first_byte: u8, length: usize) -> bool {
    let (version, mode) = (first_byte >> 3 & 7, first_byte & 7);
    length < TIME_HEADER_LEN || version == 0 || (mode == 0 && version != 1)
}

/// Whether 4.2.6, 4.2.8 and NTPsec all discard a mode 6 query by its form: shorter than its header, a response,
/// an error or one of several parts, version 0 or over 4 (ntp_control.c:process_control). `None` when it lies past
/// the bytes at hand.
#[inline(always)]
pub fn discards_control<P: Packet + ?Sized>(packet: &P, payload: usize, length: usize) -> Option<bool> {
    if length < CONTROL_HEADER_LEN {
        return Some(true);
    }
    let [first, second, _, _, _, _, _, _, high, low, _, _]: [u8; CONTROL_HEADER_LEN] =
        packet.load(payload)?;
    Some(!(1..=4).contains(&(first >> 3 & 7)) || second & 0xe0 != 0 || high | low != 0)
}

/// Whether 4.2.6, 4.2.8 and NTPsec all discard a mode 7 query by its form: shorter than its header, a response, one
/// of several parts, version 0 or over 4, or fields set that are zero in a query (ntp_request.c:process_private;
/// NTPsec has no mode 7). `None` when it lies past the bytes at hand.
#[inline(always)]
pub fn discards_private<P: Packet + ?Sized>(packet: &P, payload: usize, length: usize) -> Option<bool> {
    if length < PRIVATE_HEADER_LEN {
        return Some(true);
    }
    let [first, sequence, _, _, error, _, zero, _]: [u8; PRIVATE_HEADER_LEN] = packet.load(payload)?;
    let version = first >> 3 & 7;
    Some(
        first & 0xc0 != 0
            || !(1..=4).contains(&version)
            || sequence & 0x7f != 0
            || (error | zero) & 0xf0 != 0,
    )
}

/// The association mode, the low three bits of the first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Modes 0 to 5: time.
    Time,
    /// Mode 6: control messages, as `ntpq` sends them.
    Control,
    /// Mode 7: private messages, as `ntpdc` sends them; `monlist` is one.
    Private,
}

impl Mode {
    /// Reads it from an NTP packet's first byte, whatever the leap indicator and version.
    #[inline(always)]
    pub const fn of(first_byte: u8) -> Self {
        match first_byte & 7 {
            6 => Self::Control,
            7 => Self::Private,
            _ => Self::Time,
        }
    }
}
