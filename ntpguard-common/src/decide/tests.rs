use super::*;

/// The short way for common requests, against [`judge`], which knows no short ways: whatever flags and settings there are.
#[test]
fn a_common_request_is_judged_like_any_other() {
    let mut frame = [0; 90];
    let datagram = Datagram { is_v6: false, network: 14, payload: 42, length: 48, end: 90 };
    let (mut short, mut long) = (0, 0);
    for flags in 0..Rule::NO_RULE << 1 {
        let rule = Rule { flags, index: 7 };
        for settings in (0..Settings::MONITOR << 1).step_by(1 << 7) {
            let settings = Settings { flags: settings | Settings::INSTALLED, generation: 1 };
            for leap in 0..4 {
                frame[42] = leap << 6 | 4 << 3 | 3;
                let judged = judge(&frame[..], settings, datagram, (rule, frame[42])).unwrap();
                if rule.has(Rule::AGAINST_REQUESTS) {
                    long += 1;
                    let heard = !rule.has(Rule::IGNORE | Rule::OWN);
                    assert!(!heard || judged.reason != Reason::Time, "{flags:#x}: no short way, for nothing");
                } else {
                    short += 1;
                    assert_eq!(judged.reason, Reason::Time, "{flags:#x} {settings:?}");
                    assert_eq!(judged.asked, Asked::of(settings, rule, Reason::Time, frame[42]));
                }
            }
        }
    }
    assert!(short > 0 && long > 0);
}
