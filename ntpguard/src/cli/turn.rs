//! Converts what was typed into what is to be done: the only place where clap's types become the rooms' own.
//!
//! Each type is destructured with all its fields, so that the compiler notices an option that is forgotten here.

use super::{
    low::{self, Bytes},
    verb::{self, Judge, Packet, Payload, Verb},
};
use crate::{
    daemon::choice::Choice,
    guard,
    observe::event_filter::Filter,
    policy::{hardening::Queries, hardening_options, limiter_options},
    simulate::Train,
};

impl From<low::Verb> for Verb {
    fn from(typed: low::Verb) -> Self {
        match typed {
            low::Verb::Run(options) => Self::Run(Box::new((*options).into())),
            low::Verb::Attach(options) => {
                let low::Attach { guarding, places } = *options;
                Self::Attach(Box::new(verb::Attach { guarding: guarding.into(), places: places.into() }))
            }
            low::Verb::Detach(low::Detach { interfaces, all, force, places }) => {
                let (interfaces, places) = (interfaces.names(), places.into());
                Self::Detach(verb::Detach { interfaces, all, force, places })
            }
            low::Verb::Reload(places) => {
                let settings = places.settings.clone();
                Self::Reload(verb::Reload { places: places.into(), settings })
            }
            low::Verb::Enforce(low::Enforce { confirm, places }) => {
                Self::Enforce(verb::Enforce { confirm, places: places.into() })
            }
            low::Verb::Monitor(places) => Self::Monitor(places.into()),
            low::Verb::Status(low::Status { places, format }) => {
                Self::Status(verb::Status { places: places.into(), format })
            }
            low::Verb::Stats(options) => Self::Stats(options.into()),
            low::Verb::Events(low::Events { follow, count, format, drawing }) => {
                Self::Events(verb::Events { follow, count, format, drawing: drawing.into() })
            }
            low::Verb::Top(low::Top { interval, ascii, places }) => {
                Self::Top(verb::Top { interval, ascii, places: places.into() })
            }
            low::Verb::Capture(low::Capture { file, count, snaplen, max_size, drawing }) => {
                let drawing = drawing.into();
                Self::Capture(verb::Capture { file, count, snaplen, max_size, drawing })
            }
            low::Verb::Report(low::Report { since, networks, format, places }) => {
                Self::Report(verb::Report { since, networks, format, places: places.into() })
            }
            low::Verb::Check(options) => Self::Check(options.into()),
            low::Verb::Explain(options) => Self::Explain(Box::new((*options).into())),
            low::Verb::Replay(options) => Self::Replay(options.into()),
            low::Verb::RestoreFeatures => Self::RestoreFeatures,
            low::Verb::Doctor(low::Doctor { interfaces, pin_path, deny_warnings, format }) => {
                let interfaces = interfaces.names();
                Self::Doctor(verb::Doctor { interfaces, pin_path, deny_warnings, format })
            }
        }
    }
}

impl From<low::Run> for verb::Run {
    fn from(typed: low::Run) -> Self {
        let low::Run {
            guarding,
            places,
            ephemeral,
            format,
            interval,
            metrics,
            event_rate,
            trace,
            no_sandbox,
        } = typed;
        let places = (!ephemeral).then(|| places.into());
        let (guarding, sandbox) = (guarding.into(), !no_sandbox);
        Self { guarding, places, format, interval, metrics, event_rate, trace, sandbox }
    }
}

impl From<low::Stats> for verb::Stats {
    fn from(typed: low::Stats) -> Self {
        let low::Stats { interfaces, watch, rules, sources, reset, total, format, places } = typed;
        let (interfaces, places) = (interfaces.names(), places.into());
        Self { interfaces, watch, rules, sources, reset, total, format, places }
    }
}

impl From<low::Drawing> for verb::Drawing {
    fn from(typed: low::Drawing) -> Self {
        let low::Drawing { interfaces, mut filter, event_rate, places } = typed;
        let names = interfaces.names();
        // Interfaces that are named are shorthand for a filter.
        filter.extend((!names.is_empty()).then(|| Filter::interfaces(names)));
        Self { filter, event_rate, places: places.into() }
    }
}

impl From<low::Check> for verb::Check {
    fn from(typed: low::Check) -> Self {
        let low::Check { file, reading, hardened, format, deny_warnings } = typed;
        let hardening = hardening_options::Hardened::from(hardened).hardening();
        Self { file, reading: reading.into(), hardening, format, deny_warnings }
    }
}

impl From<low::Explain> for verb::Explain {
    fn from(typed: low::Explain) -> Self {
        let low::Explain {
            config,
            reading,
            hardened,
            source,
            source_port,
            payload,
            mode,
            request,
            frame,
            vectors,
            running,
            pin_path,
            repeat,
            every,
            local_address,
            associated,
            engine,
            format,
        } = typed;
        let packet = match (frame, vectors, source) {
            (Some(Bytes(frame)), _, _) => Packet::Frame(frame),
            (None, Some(file), _) => Packet::Vectors(file),
            (None, None, source) => {
                let payload = match payload {
                    Some(Bytes(bytes)) => Payload::Bytes(bytes),
                    None => Payload::Usual(mode.expect("clap wants one of the group"), request),
                };
                Packet::Datagram(source.expect("clap wants it beside a payload"), source_port, payload)
            }
        };
        Self {
            packet,
            train: Train { count: repeat, every: every.unwrap_or_default() },
            judge: if running { Judge::Running(pin_path) } else { Judge::Engine(engine) },
            config,
            reading: reading.into(),
            hardening: hardening_options::Hardened::from(hardened).hardening(),
            local_addresses: local_address,
            associated,
            format,
        }
    }
}

impl From<low::Replay> for verb::Replay {
    fn from(typed: low::Replay) -> Self {
        let low::Replay { capture, config, reading, hardened, local_address, top, format } = typed;
        let hardening = hardening_options::Hardened::from(hardened).hardening();
        let (reading, local_addresses) = (reading.into(), local_address);
        Self { capture, config, reading, hardening, local_addresses, top, format }
    }
}

impl From<low::Guarding> for guard::options::Guarding {
    fn from(typed: low::Guarding) -> Self {
        let low::Guarding {
            plain,
            interface,
            config,
            reading,
            hook,
            xdp_mode,
            replace,
            hardened,
            limiting,
            monitor,
            yes,
            group,
            names_interval,
        } = typed;
        Self {
            interface: low::Interfaces { plain, interface }.names(),
            config,
            reading: reading.into(),
            hook,
            xdp_mode,
            replace,
            hardened: hardened.into(),
            limiting: limiting.into(),
            monitor,
            yes,
            group,
            names_interval,
        }
    }
}

impl From<low::Places> for guard::options::Places {
    /// The settings file has been read before this, so its path is dropped here.
    fn from(low::Places { pin_path, state_dir, settings: _ }: low::Places) -> Self {
        Self { pin_path, state_dir }
    }
}

impl From<low::Reading> for Choice {
    fn from(low::Reading { dialect, ordering, daemon_args }: low::Reading) -> Self {
        Self { dialect, ordering, daemon_args }
    }
}

impl From<low::Hardened> for hardening_options::Hardened {
    fn from(low::Hardened { queries, harden, no_hardening }: low::Hardened) -> Self {
        if no_hardening {
            Self { queries: Queries::Restrict, harden: Vec::new() }
        } else {
            Self { queries, harden }
        }
    }
}

impl From<low::Limiting> for limiter_options::Limiting {
    fn from(low::Limiting { sources, aggregate, kod, kod_rate, max_rate }: low::Limiting) -> Self {
        let of = |known: &[u8]| aggregate.iter().rev().copied().find(|length| known.contains(length));
        let (prefix_v4, prefix_v6) = (of(&[24]).unwrap_or(32), of(&[56, 64]).unwrap_or(128));
        Self { sources, prefix_v4, prefix_v6, kod, kod_rate, max_rate }
    }
}
