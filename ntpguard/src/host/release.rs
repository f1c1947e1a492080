//! The kernel's release, as far as its behaviour depends on it.

use std::{fmt, fs, io, path::Path};

/// The first two numbers of a release: 6.12 of `6.12.117-amd64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release(pub u32, pub u32);

impl Release {
    /// The oldest release that ntpguard supports, and the older of the two whose drivers were read.
    pub const OLDEST: Self = Self(6, 1);

    /// Parses `6.1.0-18-amd64`, `6.18.44+`, `6.6-rc1`; `None` for anything that doesn't begin with two numbers.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(|c: char| !c.is_ascii_digit());
        Some(Self(numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    }

    /// The text of the running kernel's release, below a root.
    ///
    /// # Errors
    /// /proc can't be read.
    pub fn text(root: &Path) -> io::Result<String> {
        fs::read_to_string(root.join("proc/sys/kernel/osrelease")).map(|text| text.trim().to_owned())
    }

    /// The running kernel's release; if it can't be read the oldest one, so that nothing newer is assumed.
    pub fn running(root: &Path) -> Self {
        Self::text(root).ok().and_then(|text| Self::parse(&text)).unwrap_or(Self::OLDEST)
    }
}

impl Default for Release {
    /// The oldest release, so that nothing newer is assumed.
    fn default() -> Self {
        Self::OLDEST
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// A value that depends on the release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByRelease<T> {
    /// The value before the change.
    pub before: T,
    /// The release since which another value holds, and that value.
    pub since: Option<(Release, T)>,
}

impl<T: Copy> ByRelease<T> {
    /// The same in every release.
    pub const fn always(value: T) -> Self {
        Self { before: value, since: None }
    }

    /// One value before a release, and another one since.
    pub const fn changed(before: T, since: Release, now: T) -> Self {
        Self { before, since: Some((since, now)) }
    }

    /// The value at a release.
    pub fn at(self, release: Release) -> T {
        match self.since {
            Some((since, now)) if release >= since => now,
            _ => self.before,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read_and_compared_by_number() {
        for (text, wanted) in [
            ("6.1.0-18-amd64", Some(Release(6, 1))),
            ("6.18.44+", Some(Release(6, 18))),
            ("6.6-rc1", Some(Release(6, 6))),
            ("10.0.1", Some(Release(10, 0))),
            ("six", None),
            ("6", None),
            ("", None),
        ] {
            assert_eq!(Release::parse(text), wanted, "{text}");
        }
        assert!(Release(6, 12) > Release(6, 6) && Release(10, 0) > Release(6, 12));
    }

    #[test]
    fn a_value_changes_at_its_release() {
        let value = ByRelease::changed(1, Release(6, 3), 2);
        assert_eq!([(6, 1), (6, 3), (6, 12)].map(|(a, b)| value.at(Release(a, b))), [1, 2, 2]);
        assert_eq!(ByRelease::always(7).at(Release(6, 12)), 7);
    }
}
