//! Whether hardware receive timestamps survive the filter, and whether anything uses them.

use super::{Check, Finding, card::Card};
use crate::host::driver::{Clock, Timestamps};
use std::{fs, path::Path};

/// Where distributions keep chrony's configuration.
const CHRONY: [&str; 2] = ["etc/chrony/chrony.conf", "etc/chrony.conf"];

/// A finding only for a card that makes receive timestamps, with a driver whose source was read (a row of the table).
pub(super) fn timestamps(root: &Path, card: &Card) -> Option<Finding> {
    let (name, setup) = (&card.interface.name, &card.setup);
    let row = setup.row().filter(|row| row.native.is_some())?;
    if setup.timestamping.receives != Some(true) || row.timestamps == Timestamps::None {
        return None;
    }
    let wanted = asks(root, name);
    let in_use = match (setup.timestamping.on, wanted) {
        (_, Some(file)) => format!("/{file} asks for them (hwtimestamp)"),
        (Some(true), None) => "somebody has turned them on".to_owned(),
        (Some(false), None) => "they are off: ntpd doesn't use them".to_owned(),
        (None, None) => "the driver doesn't say whether they are on; ntpd doesn't use them".to_owned(),
    };
    let is_used = setup.timestamping.on == Some(true) || wanted.is_some();
    let message = format!("{} {}; {in_use}", setup.driver_name(), row.timestamps.words());
    if !is_used {
        return Some(Finding::ok(Check::Timestamps, name, message));
    }
    Some(match (row.timestamps, row.clock) {
        (Timestamps::Lost | Timestamps::InFrontOfFrame, _) => {
            Finding::warning(Check::Timestamps, name, message).fix("--hook tc keeps them")
        }
        (_, Clock::Replaced) if card.guarded.is_none() => Finding::warning(
            Check::Timestamps,
            name,
            message + "; attaching and detaching turn them off, and replace the card's clock",
        )
        .fix("restart the daemon that uses them after attaching, or --hook tc"),
        (_, Clock::Stepped) if card.guarded.is_none() => Finding::note(
            Check::Timestamps,
            name,
            message + "; attaching and detaching step the card's clock",
        ),
        (Timestamps::Unknown, _) => Finding::note(Check::Timestamps, name, message),
        _ => Finding::ok(Check::Timestamps, name, message),
    })
}

/// The file in which chrony is configured to use the timestamps of this interface, or of all.
fn asks(root: &Path, name: &str) -> Option<&'static str> {
    CHRONY.into_iter().find(|file| {
        let text = fs::read_to_string(root.join(file)).unwrap_or_default();
        text.lines().any(|line| {
            let mut words = line.split_whitespace();
            words.next().is_some_and(|word| word.eq_ignore_ascii_case("hwtimestamp"))
                && words.next().is_some_and(|whose| whose == "*" || whose == name)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        doctor::{Status, native::tests::with},
        host::timestamping::Timestamping,
    };

    fn found(root: &Path, driver: &str, on: Option<bool>) -> Option<Finding> {
        let card = with(|card| {
            card.setup.driver = Some(driver.to_owned());
            card.setup.timestamping = Timestamping { receives: Some(true), clock: Some(0), on };
        });
        timestamps(root, &card)
    }

    #[test]
    fn who_uses_none_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let quiet = found(root.path(), "ixgbe", Some(false)).unwrap();
        assert!(quiet.status == Status::Ok && quiet.message.contains("ntpd doesn't use them"), "{quiet:?}");
        assert_eq!(found(root.path(), "ixgbevf", Some(true)), None, "it makes none");
        assert_eq!(found(root.path(), "e1000e", Some(true)), None, "generic XDP");
        let unable = with(|card| card.setup.timestamping.receives = Some(false));
        assert_eq!(timestamps(root.path(), &unable), None);
    }

    #[test]
    fn who_uses_them_is_told_what_becomes_of_them() {
        let root = tempfile::tempdir().unwrap();
        let status = |driver| found(root.path(), driver, Some(true)).unwrap().status;
        assert_eq!(status("ixgbe"), Status::Warning);
        assert_eq!(status("igb"), Status::Note);
        assert_eq!(status("ice"), Status::Ok);
        assert_eq!(status("nicvf"), Status::Warning);
    }

    #[test]
    fn chrony_is_asked_by_its_file() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("etc/chrony")).unwrap();
        let write = |text: &str| fs::write(root.path().join(CHRONY[0]), text).unwrap();
        for (text, asked) in [
            ("pool ntp.example iburst\nhwtimestamp *\n", true),
            ("HWTimestamp eth0 minpoll 1\n", true),
            ("hwtimestamp eth1\n", false),
            ("# hwtimestamp *\n", false),
        ] {
            write(text);
            assert_eq!(asks(root.path(), "eth0").is_some(), asked, "{text}");
            let ixgbe = found(root.path(), "ixgbe", None).unwrap();
            assert_eq!(ixgbe.status == Status::Warning, asked, "{text}");
        }
    }
}
