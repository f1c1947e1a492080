//! Durations on the command line.

use std::time::Duration;

/// The longest duration that is accepted: a 32-bit number of days.
const LONGEST: Duration = Duration::from_secs(u32::MAX as u64 * 86_400);

/// Parses a duration: any number with one unit (`500ms`, `.5h`; seconds without a unit), or whole numbers with several
/// units (`1h 30m`). The units are humantime's.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = |error: humantime::DurationError| format!("{error}; as in 500ms, 1.5s, 5m or 1h30m");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let read = match number.parse::<f64>() {
        // humantime itself accepts a fraction only with a digit before the point, and only if it is a whole number of
        // nanoseconds, or for hours of seconds.
        Ok(number) if unit.chars().all(char::is_alphabetic) => {
            let unit = if unit.is_empty() { "s" } else { unit };
            let unit = humantime::parse_duration(&format!("1{unit}")).map_err(wrong)?;
            Duration::try_from_secs_f64(unit.as_secs_f64() * number).ok()
        }
        _ => Some(humantime::parse_duration(text).map_err(wrong)?),
    };
    match read {
        Some(Duration::ZERO) => Err("must be more than nothing".to_owned()),
        Some(duration) if duration <= LONGEST => Ok(duration),
        _ => Err("is longer than anybody waits".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_unit() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("0500ms", 500),
            ("2", 2000),
            ("2s", 2000),
            ("2.", 2000),
            ("2.s", 2000),
            (".5", 500),
            (".5s", 500),
            ("1.5ms", 1),
            ("1.5m", 90_000),
            ("1.0001h", 3_600_360),
            ("5m", 300_000),
            ("36h", 129_600_000),
            ("0.5d", 43_200_000),
            ("4294967295d", 4_294_967_295 * 86_400_000),
        ] {
            assert_eq!(duration(text).map(|duration| duration.as_millis()), Ok(milliseconds), "{text}");
        }
    }

    #[test]
    fn what_humantime_takes_beside() {
        for (text, seconds) in [
            ("1h30m", 5400),
            ("1h 30m", 5400),
            ("2 min", 120),
            ("15minutes", 900),
            ("1w", 604_800),
            ("90 seconds", 90),
            ("1day 2h", 93_600),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration() {
        for wrong in [
            "",
            "s",
            ".",
            "1.2.3s",
            "0s",
            ".0",
            "0d",
            "0s 0ms",
            "99999999999d",
            "99999999999d 1s",
            "-1s",
            "1h -30m",
            "1e3s",
            "nan",
            "inf",
            "1q",
            "1 5",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert!(duration("1q").unwrap_err().ends_with("as in 500ms, 1.5s, 5m or 1h30m"));
    }
}
