//! Which events are wanted, as given by `--filter`.

use crate::observe::event::Event;
use ipnet::IpNet;
use ntpguard_common::Reason;
use std::{net::IpAddr, str::FromStr};

/// One condition: `KEY=VALUE,…`, or `KEY!=VALUE,…` for the opposite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    wanted: Wanted,
    reverse: bool,
}

/// The wanted values of a key: an event matches if it has any of them.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Reason(Vec<String>),
    Source(Vec<IpNet>),
    Port(Vec<u16>),
    Mode(Vec<u8>),
    Version(Vec<u8>),
    Request(Vec<String>),
    Interface(Vec<String>),
    Line(Vec<usize>),
}

impl Filter {
    /// The condition that an event is from one of these interfaces.
    pub fn interfaces(names: Vec<String>) -> Self {
        Self { wanted: Wanted::Interface(names), reverse: false }
    }

    /// Whether an event meets the condition.
    pub fn holds(&self, event: &Event) -> bool {
        let found = match &self.wanted {
            Wanted::Reason(names) => names.iter().any(|name| name == event.reason.name()),
            Wanted::Source(nets) => {
                event.source.is_some_and(|source| nets.iter().any(|net| net.contains(&source)))
            }
            Wanted::Port(ports) => event.port.is_some_and(|port| ports.contains(&port)),
            Wanted::Mode(modes) => event.mode.is_some_and(|mode| modes.contains(&mode)),
            Wanted::Version(versions) => event.version.is_some_and(|version| versions.contains(&version)),
            Wanted::Request(names) => event.request.as_ref().is_some_and(|name| names.contains(name)),
            Wanted::Interface(names) => names.contains(&event.interface),
            Wanted::Line(lines) => event.cause.as_ref().is_some_and(|cause| lines.contains(&cause.line)),
        };
        found != self.reverse
    }
}

/// Whether an event meets all conditions.
pub fn all(filters: &[Filter], event: &Event) -> bool {
    filters.iter().all(|filter| filter.holds(event))
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, values) = text.split_once('=').ok_or("a key and what it is to be, as in reason=mode7")?;
        let (key, reverse) = key.strip_suffix('!').map_or((key, false), |key| (key, true));
        let words = || values.split(',').map(str::to_owned).collect::<Vec<_>>();
        let wanted = match key {
            "reason" => Wanted::Reason(each(values, reason)?),
            "source" => Wanted::Source(each(values, net)?),
            "port" => Wanted::Port(numbers(values)?),
            "mode" => Wanted::Mode(numbers(values)?),
            "version" => Wanted::Version(numbers(values)?),
            "line" => Wanted::Line(numbers(values)?),
            "request" => Wanted::Request(words()),
            "interface" => Wanted::Interface(words()),
            _ => {
                return Err(format!(
                    "`{key}` is no key: reason, source, port, mode, version, request, interface or line"
                ));
            }
        };
        Ok(Self { wanted, reverse })
    }
}

fn each<T>(values: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    values.split(',').map(read).collect()
}

fn numbers<T: FromStr>(values: &str) -> Result<Vec<T>, String> {
    each(values, |value| value.parse().map_err(|_| format!("`{value}` is no number that fits")))
}

fn reason(name: &str) -> Result<String, String> {
    let known = Reason::ALL.iter().any(|reason| reason.name() == name);
    let names = || Reason::ALL.iter().map(|reason| reason.name()).collect::<Vec<_>>().join(", ");
    if known { Ok(name.to_owned()) } else { Err(format!("no reason is called `{name}`: {}", names())) }
}

fn net(value: &str) -> Result<IpNet, String> {
    let host = || value.parse().map(|address: IpAddr| IpNet::from(address));
    value.parse().or_else(|_| host()).map_err(|_| format!("`{value}` is no address and no network"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        let line = r#"{"time_ns":1,"interface":"eth0","source":"192.0.2.7","port":123,"mode":7,"version":2,
            "request":"monlist","length":60,"reason":"noquery","scale":1,"trial":false,
            "cause":{"file":"/etc/ntp.conf","line":12,"text":"restrict default noquery"}}"#;
        serde_json::from_str(line).unwrap()
    }

    #[test]
    fn conditions_hold_or_not() {
        let holds = |text: &str| text.parse::<Filter>().unwrap().holds(&event());
        for text in [
            "reason=noquery",
            "reason=ignore,noquery",
            "source=192.0.2.0/24",
            "source=192.0.2.7",
            "port=123",
            "mode=6,7",
            "version=2",
            "request=monlist",
            "interface=eth0",
            "line=12",
            "reason!=ignore",
            "source!=2001:db8::/32",
        ] {
            assert!(holds(text), "{text}");
        }
        for text in
            ["reason=ignore", "source=192.0.3.0/24", "mode=6", "line=1,2", "port!=123", "request=readvar"]
        {
            assert!(!holds(text), "{text}");
        }
        let both: Vec<Filter> = ["mode=7", "port=53"].map(|text| text.parse().unwrap()).into();
        assert!(!all(&both, &event()) && all(&both[..1], &event()) && all(&[], &event()));
    }

    #[test]
    fn what_is_unknown_to_an_event_is_not_met() {
        let hidden = Event { source: None, port: None, mode: None, cause: None, ..event() };
        let holds = |text: &str| text.parse::<Filter>().unwrap().holds(&hidden);
        assert!(!holds("source=0.0.0.0/0") && !holds("line=12") && holds("mode!=7"));
    }

    #[test]
    fn errors_say_what_there_is() {
        let error = |text: &str| text.parse::<Filter>().unwrap_err();
        assert!(error("noquery").contains("as in reason="));
        assert!(error("reason=monlist").contains("mode7"));
        assert!(error("colour=red").contains("interface"));
        assert!(error("port=70000").contains("70000"));
        assert!(error("source=example.com").contains("no address"));
    }
}
