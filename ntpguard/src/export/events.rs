//! Events as text or JSON, one per line.

use super::format::Format;
use crate::observe::event::Event;
use ntpguard_common::Action;
use std::time::Duration;

/// An event as one line.
pub fn line(event: &Event, format: Format) -> String {
    match format {
        // An event consists of serialisable values, so this can't fail.
        Format::Json => serde_json::to_string(event).unwrap_or_default(),
        Format::Text => text(event),
    }
}

fn text(event: &Event) -> String {
    let Event { interface, source, port, length, reason, cause, scale, .. } = event;
    let from = match source.zip(*port) {
        Some((source, port)) => format!("{source} port {port}"),
        None => "hidden".to_owned(),
    };
    let cause = cause.as_ref().map(|cause| format!("  {cause}")).unwrap_or_default();
    let scale = if *scale > 1 { format!("  x{scale}") } else { String::new() };
    let verb = if reason.action() == Action::Drop && !event.trial { "" } else { event.verb() };
    let verb = if verb.is_empty() { String::new() } else { format!(" ({verb})") };
    let line = format!(
        "{} {interface} {from}  {}, {length} bytes  {}{verb}{cause}{scale}",
        time(event.time_ns),
        event.asked(),
        reason.name()
    );
    // A line of ntp.conf may have any character.
    line.replace(char::is_control, "\u{fffd}")
}

/// The time of day in UTC.
fn time(time_ns: u64) -> String {
    let time = Duration::from_nanos(time_ns);
    let seconds = time.as_secs() % 86_400;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{:03}Z", seconds % 60, time.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::event::Blamed;
    use ntpguard_common::Reason;

    #[test]
    fn a_line_says_all_that_matters() {
        let event = Event {
            time_ns: 1_700_000_000_250_000_000,
            interface: "eth0".to_owned(),
            source: Some([192, 0, 2, 1].into()),
            port: Some(80),
            mode: Some(7),
            version: Some(2),
            request: Some("monlist".to_owned()),
            length: 60,
            reason: Reason::Noquery,
            cause: Some(Blamed {
                file: "ntp.conf".to_owned(),
                line: 3,
                text: "restrict\tdefault noquery".to_owned(),
            }),
            scale: 8,
            trial: false,
            frame: None,
        };
        let expected = "22:13:20.250Z eth0 192.0.2.1 port 80  mode 7 monlist, 60 bytes  noquery  \
                        ntp.conf:3: restrict\u{fffd}default noquery  x8";
        assert_eq!(text(&event), expected);
        let hidden =
            Event { source: None, mode: None, request: None, cause: None, scale: 1, trial: true, ..event };
        assert_eq!(text(&hidden), "22:13:20.250Z eth0 hidden  unread, 60 bytes  noquery (would be dropped)");
    }
}
