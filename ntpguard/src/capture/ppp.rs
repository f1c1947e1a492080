//! PPP: link types whose packets begin with a PPP header, or with another header before it.

use super::content::{Content, IPV4, IPV6, Skip};

/// HDLC's all-stations address and its control field for unnumbered information (RFC 1662 §3.1). Both may be omitted.
const HDLC: [u8; 2] = [0xff, 0x03];
/// The addresses of Cisco's HDLC, unicast and broadcast: an EtherType follows (RFC 1547 §4.3.1).
const CISCO: [u8; 2] = [0x0f, 0x8f];
/// The length of a PPPoE header in bytes, and the code of session frames (RFC 2516 §4).
const SESSION: usize = 6;
const SESSION_DATA: u8 = 0;
/// The EtherType of PPP, in network byte order: the filter doesn't take it for IP.
const PPP: [u8; 2] = [0x88, 0x0b];

/// LINKTYPE_PPP and LINKTYPE_PPP_HDLC, with the PPP header at an offset: with or without an HDLC header before it, or with
/// Cisco's instead.
pub(super) fn content(bytes: &[u8], offset: usize) -> Result<Content, Skip> {
    let header = bytes.get(offset..).ok_or(Skip::Headless)?;
    if let [first, _, ether_type @ ..] = header
        && CISCO.contains(first)
    {
        let ether_type = *ether_type.first_chunk().ok_or(Skip::Headless)?;
        return Ok(Content::Network { ether_type, offset: offset + 4, outgoing: false });
    }
    let offset = offset + if header.starts_with(&HDLC) { HDLC.len() } else { 0 };
    protocol(bytes, offset)
}

/// LINKTYPE_PPP_ETHER: a PPPoE header before the PPP header.
pub(super) fn session(bytes: &[u8]) -> Result<Content, Skip> {
    let [_, code, ..] = bytes.first_chunk::<SESSION>().ok_or(Skip::Headless)?;
    match *code {
        SESSION_DATA => protocol(bytes, SESSION),
        // Discovery frames, which begin and end sessions.
        _ => Ok(Content::Network { ether_type: PPP, offset: SESSION, outgoing: false }),
    }
}

/// LINKTYPE_PPP_WITH_DIR: the first byte says whether this host sent the packet.
pub(super) fn with_direction(bytes: &[u8]) -> Result<Content, Skip> {
    let sent = *bytes.first().ok_or(Skip::Headless)? != 0;
    Ok(match content(bytes, 1)? {
        Content::Network { ether_type, offset, .. } => {
            Content::Network { ether_type, offset, outgoing: sent }
        }
        Content::Ethernet => Content::Ethernet,
    })
}

/// The packet after a protocol number, whose leading zero byte may be omitted if both sides agree (RFC 1661 §6.5): an odd
/// byte is the last one of the number.
fn protocol(bytes: &[u8], offset: usize) -> Result<Content, Skip> {
    let (number, length) = match *bytes.get(offset..).unwrap_or_default() {
        [first, ..] if first & 1 == 1 => (u16::from(first), 1),
        [first, second, ..] => (u16::from_be_bytes([first, second]), 2),
        _ => return Err(Skip::Headless),
    };
    let ether_type = match number {
        0x0021 => IPV4,
        0x0057 => IPV6,
        // A fragment, encrypted packets, and compressed packets (RFC 1990, RFC 1968, RFC 1962).
        0x003d | 0x0053 | 0x0055 | 0x00fb | 0x00fd => return Err(Skip::Ppp(number)),
        _ => PPP,
    };
    Ok(Content::Network { ether_type, offset: offset + length, outgoing: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::link;

    fn found(ether_type: [u8; 2], offset: usize, outgoing: bool) -> Result<Content, Skip> {
        Ok(Content::Network { ether_type, offset, outgoing })
    }

    #[test]
    fn ip_is_found_behind_each_form_of_the_header() {
        for link in [9, 50] {
            for (bytes, ether_type, offset) in [
                (&[0x00, 0x21, 0x45][..], IPV4, 2),
                (&[0x00, 0x57, 0x60], IPV6, 2),
                (&[0x21, 0x45], IPV4, 1),
                (&[0x57, 0x60], IPV6, 1),
                (&[0xff, 0x03, 0x00, 0x21, 0x45], IPV4, 4),
                (&[0xff, 0x03, 0x57, 0x60], IPV6, 3),
                (&[0x0f, 0x00, 0x08, 0x00, 0x45], IPV4, 4),
                (&[0x8f, 0x00, 0x86, 0xdd, 0x60], IPV6, 4),
                (&[0xff, 0x03, 0xc0, 0x21, 1], PPP, 4),
                (&[0x80, 0x21, 1], PPP, 2),
            ] {
                assert_eq!(
                    link::content(link, bytes),
                    found(ether_type, offset, false),
                    "{link}: {bytes:02x?}"
                );
            }
        }
    }

    #[test]
    fn a_session_has_its_own_header_first() {
        let data = [0x11, 0, 0, 7, 0, 30, 0x00, 0x21, 0x45];
        assert_eq!(link::content(51, &data), found(IPV4, 8, false));
        assert_eq!(link::content(51, &[0x11, 0xa7, 0, 7, 0, 0]), found(PPP, 6, false), "its end");
        assert_eq!(link::content(51, &data[..6]), Err(Skip::Headless));
        assert_eq!(link::content(51, &data[..5]), Err(Skip::Headless));
    }

    #[test]
    fn the_direction_is_taken_where_it_is_told() {
        assert_eq!(link::content(204, &[0, 0xff, 0x03, 0x00, 0x21, 0x45]), found(IPV4, 5, false));
        assert_eq!(link::content(204, &[1, 0x00, 0x57, 0x60]), found(IPV6, 3, true));
        assert_eq!(link::content(204, &[]), Err(Skip::Headless));
    }

    #[test]
    fn what_is_packed_or_cut_short_is_skipped() {
        for number in [0x3d, 0x53, 0xfd] {
            assert_eq!(link::content(9, &[0, number, 1, 2]), Err(Skip::Ppp(number.into())));
            assert_eq!(link::content(9, &[0xff, 3, number, 1, 2]), Err(Skip::Ppp(number.into())));
        }
        for cut in [&[][..], &[0x00], &[0xff, 0x03], &[0x0f], &[0x0f, 0, 8]] {
            let content = link::content(50, cut);
            assert!(content == Err(Skip::Headless) || cut == [0x0f], "{cut:02x?}: {content:?}");
        }
    }
}
