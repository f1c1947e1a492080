use super::*;

/// A policy with the same rule for every source.
struct Everybody(PolicyWord, Rule);

impl Lookup for Everybody {
    fn word(&self) -> PolicyWord {
        self.0
    }

    fn rule(&self, _: u32, _: &Source, _: u16) -> Rule {
        self.1
    }
}

/// A request of version 4, mode 3, from 198.51.100.7 port 40000.
fn request() -> [u8; 90] {
    let mut frame = [0; 90];
    frame[12] = 8;
    frame[14..18].copy_from_slice(&[0x45, 0, 0, 76]);
    frame[22..24].copy_from_slice(&[64, 17]);
    frame[26..34].copy_from_slice(&[198, 51, 100, 7, 192, 0, 2, 1]);
    frame[34..40].copy_from_slice(&[0x9c, 0x40, 0, 123, 0, 56]);
    frame[42] = 4 << 3 | 3;
    frame
}

/// Calls `each` with every combination of a rule's flags and of the policy word's flags that can affect a time request.
fn all(mut each: impl FnMut(PolicyWord, Rule)) {
    let free = [PolicyWord::HARDEN_SOURCES, PolicyWord::LIMITER, PolicyWord::CEILING, PolicyWord::KISSES];
    // Each behaviour by itself, none, and all of them.
    let behaviours = (16..32).map(|bit| 1 << bit).chain([0, 0xffff << 16]);
    for behaviour in behaviours {
        for set in 0..1 << free.len() {
            let flags = free.iter().enumerate().filter(|(bit, _)| set >> bit & 1 != 0).map(|(_, flag)| flag);
            let flags = flags.fold(PolicyWord::INSTALLED | behaviour, |all, flag| all | flag);
            for rule in 0..Rule::NO_RULE << 1 {
                each(PolicyWord { flags, generation: 1 }, Rule { flags: rule, index: 7 });
            }
        }
    }
}

/// The fast path for common requests gives the same verdicts as [`judge`], which has no such path.
#[test]
fn a_common_request_is_judged_like_any_other() {
    let mut frame = request();
    let datagram = Datagram { is_v6: false, network: 14, transport: 34, payload: 42, length: 48, end: 90 };
    all(|word, rule| {
        for leap in [0, 3] {
            frame[42] = leap << 6 | 4 << 3 | 3;
            let expected = if rule.has(Rule::OWN) && word.has(PolicyWord::HARDEN_SOURCES) {
                Verdict::on(datagram, Reason::ImpossibleSource, 7)
            } else if rule.has(Rule::IGNORE) {
                Verdict::on(datagram, Reason::Ignore, 7)
            } else {
                judge(&frame[..], word, datagram, (rule, frame[42])).unwrap()
            };
            assert_eq!(decide(&frame[..], &Everybody(word, rule)), Decision::Judged(expected));
        }
    });
}

/// Each flag that excludes a request from the fast path can by itself change the verdict.
#[test]
fn every_flag_against_requests_may_end_one() {
    let mut seen = 0;
    all(|word, rule| {
        let Decision::Judged(verdict) = decide(&request()[..], &Everybody(word, rule)) else { panic!() };
        if rule.flags.is_power_of_two() && verdict.reason != Reason::Time {
            seen |= rule.flags;
        }
    });
    assert_eq!(seen, Rule::AGAINST_REQUESTS);
}
