//! Interfaces of a pcapng section: their link type, and the unit and offset of their clock.
//!
//! Contract: a time is exact, rounded down to a nanosecond, or there is none; it is never made up.

use pcap_parser::{InterfaceDescriptionBlock, OptionCode, PcapNGOption};
use std::time::Duration;

/// The part of an interface description that matters here.
pub(super) struct Interface {
    pub(super) link: u16,
    /// The maximum number of bytes captured of a packet; 0 for no limit.
    pub(super) snaplen: u32,
    /// Clock units in a second; `None` if the description has an impossible number.
    units: Option<u64>,
    /// Seconds to add to each time.
    offset: i64,
}

impl Interface {
    pub(super) fn described(description: &InterfaceDescriptionBlock<'_>, big: bool) -> Self {
        let offset = value(&description.options, OptionCode::IfTsoffset).unwrap_or([0; 8]);
        let exponent = u32::from(description.if_tsresol & 0x7f);
        Self {
            link: description.linktype.0 as u16,
            snaplen: description.snaplen,
            units: if description.if_tsresol & 0x80 == 0 {
                10_u64.checked_pow(exponent)
            } else {
                1_u64.checked_shl(exponent)
            },
            // pcap-parser 0.17 always reads this option in little-endian order (and `if_tsresol` without powers of two), so
            // it is decoded here.
            offset: if big { i64::from_be_bytes(offset) } else { i64::from_le_bytes(offset) },
        }
    }

    /// The time since 1970; `None` if it is before 1970, or doesn't fit.
    pub(super) fn time(&self, high: u32, low: u32) -> Option<Duration> {
        let units = self.units?;
        let time = (u64::from(high) << 32) | u64::from(low);
        let fraction = u128::from(time % units) * 1_000_000_000 / u128::from(units);
        Some(Duration::new((time / units).checked_add_signed(self.offset)?, fraction as u32))
    }
}

/// The first N bytes of an option's value, if the option is present and has that many.
pub(super) fn value<const N: usize>(options: &[PcapNGOption<'_>], code: OptionCode) -> Option<[u8; N]> {
    options.iter().find(|option| option.code == code)?.value().first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::super::{
        pcapng::tests::{interface, packet, section, taken},
        tests::read,
    };

    #[test]
    fn clocks_go_by_resolution_and_offset() {
        // Options: if_tsresol (9) of one byte, if_tsoffset (14) of 8.
        for (resolution, time) in [
            (9, Some(1_000_003)),
            (3, Some(1_000_003_000_000)),
            (0x80 | 20, Some(953_677_177)),
            (0x80 | 63, Some(0)),
            (20, None),
            (0x80 | 64, None),
        ] {
            let little = interface(false, 1, 0, &[(1 << 16) | 9, resolution]);
            let big = interface(true, 1, 0, &[(9 << 16) | 1, resolution << 24]);
            for (big, interface) in [(false, little), (true, big)] {
                let file = [section(big), interface, packet(big)].concat();
                assert_eq!(read(&file), (vec![taken(time)], None), "{resolution:#x}");
            }
        }
        for (seconds, time) in [(5_i64, Some(6_000_003_000)), (-1, Some(3_000)), (-2, None)] {
            let (high, low) = ((seconds >> 32) as u32, seconds as u32);
            let little = interface(false, 1, 0, &[(8 << 16) | 14, low, high]);
            let big = interface(true, 1, 0, &[(14 << 16) | 8, high, low]);
            for (big, interface) in [(false, little), (true, big)] {
                let file = [section(big), interface, packet(big)].concat();
                assert_eq!(read(&file), (vec![taken(time)], None), "{seconds}");
            }
        }
    }
}
