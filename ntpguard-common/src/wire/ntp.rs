//! The heads of NTP packets: modes and header lengths (RFC 5905 §7.3, RFC 9327 §2, ntpd's ntp_request.h).

/// The UDP port of NTP.
pub const PORT: u16 = 123;

/// Length in bytes of a mode 6 (control) header (RFC 9327 §2); ntp_control.c:process_control discards less.
pub const CONTROL_HEADER_LEN: usize = 12;

/// Length in bytes of a mode 7 (private) header; ntp_request.c:process_private discards less.
pub const PRIVATE_HEADER_LEN: usize = 8;

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
