//! Headers of NTP packets: modes and lengths (RFC 5905 §7.3, RFC 9327 §2, ntpd's ntp_request.h).

use crate::packet::Packet;

/// The UDP port of NTP.
pub const PORT: u16 = 123;

/// Length in bytes of a time packet's header (RFC 5905 §7.3).
pub const TIME_HEADER_LEN: usize = 48;

/// Length in bytes of a mode 6 (control) header (RFC 9327 §2).
pub const CONTROL_HEADER_LEN: usize = 12;

/// Length in bytes of a mode 7 (private) header.
pub const PRIVATE_HEADER_LEN: usize = 8;

/// The header of a mode 6 query (RFC 9327 §2).
#[derive(Clone, Copy)]
pub struct Control([u8; CONTROL_HEADER_LEN]);

impl Control {
    /// Reads the header; `None` if it lies past the bytes at hand.
    #[inline(always)]
    pub fn load<P: Packet + ?Sized>(packet: &P, payload: usize) -> Option<Self> {
        packet.load(payload).map(|head| Self(*head))
    }

    /// Whether every daemon discards it: a response, an error response, part of a message in several packets, a
    /// non-zero offset, version 0 or above 4 (ntp_control.c:process_control).
    #[inline(always)]
    pub const fn is_discarded(&self) -> bool {
        let [first, second, _, _, _, _, _, _, high, low, _, _] = self.0;
        impossible_version(first) || second & 0xe0 != 0 || high | low != 0
    }

    /// Whether the daemon answers that it is badly formed (CERR_BADFMT): its count is greater than the data in
    /// `length`, or `length` isn't a multiple of 4.
    #[inline(always)]
    pub const fn is_bad(&self, length: usize) -> bool {
        let [.., high, low] = self.0;
        let count = u16::from_be_bytes([high, low]) as usize;
        count > length - CONTROL_HEADER_LEN || !length.is_multiple_of(4)
    }
}

/// The header of a mode 7 query (ntp_request.h:struct req_pkt).
#[derive(Clone, Copy)]
pub struct Private([u8; PRIVATE_HEADER_LEN]);

impl Private {
    /// Reads the header; `None` if it lies past the bytes at hand.
    #[inline(always)]
    pub fn load<P: Packet + ?Sized>(packet: &P, payload: usize) -> Option<Self> {
        packet.load(payload).map(|head| Self(*head))
    }

    /// Whether ntp.org's ntpd discards it: a response, part of a message in several packets, version 0 or above 4, or
    /// non-zero fields that must be zero in a query (ntp_request.c:process_private).
    #[inline(always)]
    pub const fn is_discarded(&self) -> bool {
        let [first, sequence, _, _, error, _, zero, _] = self.0;
        first & 0xc0 != 0 || impossible_version(first) || sequence & 0x7f != 0 || (error | zero) & 0xf0 != 0
    }

    /// Whether the daemon answers that it doesn't know the implementation number, or that the items don't fit in
    /// `length`.
    #[inline(always)]
    pub const fn is_bad(&self, length: usize) -> bool {
        let [_, _, implementation, _, items_high, items, size_high, size] = self.0;
        let items = u16::from_be_bytes([items_high & 0xf, items]) as usize;
        let size = u16::from_be_bytes([size_high & 0xf, size]) as usize;
        !matches!(implementation, 2 | 3) || items * size > length - PRIVATE_HEADER_LEN
    }
}

/// Whether the version is 0 or above 4.
#[inline(always)]
const fn impossible_version(first_byte: u8) -> bool {
    (first_byte >> 3 & 7).wrapping_sub(1) >= 4
}

/// The kind of packet by its association mode, the low three bits of the first byte.
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
    /// The kind by an NTP packet's first byte, whatever the leap indicator and version.
    #[inline(always)]
    pub const fn of(first_byte: u8) -> Self {
        match first_byte & 7 {
            6 => Self::Control,
            7 => Self::Private,
            _ => Self::Time,
        }
    }
}
