//! One golden packet, and the functions with which the tables of them are written.

use crate::frame::{
    Frame,
    payload::{MONLIST, time},
};
use ntpguard::daemon::dialect::Dialect;
use ntpguard_common::Reason;

/// The expected treatment of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// It passes, and no counter changes.
    Untouched,
    /// It passes or is dropped, as the reason says, and only that reason's counter increases, by one. The second field is
    /// the line of ntp.conf that caused a drop, if one did.
    Counted(Reason, Option<usize>),
}

/// A golden packet.
#[derive(Clone, Debug)]
pub struct Golden {
    /// What the packet tests.
    pub name: &'static str,
    /// The fixture that is in force.
    pub fixture: &'static str,
    /// The daemon that reads the fixture.
    pub dialect: Dialect,
    /// The frame.
    pub frame: Vec<u8>,
    /// The expected treatment.
    pub expect: Expect,
    /// The length of the frame's first buffer, if the test chooses it (Linux 6.18).
    pub linear: Option<u32>,
}

pub(super) const OUTSIDER: &str = "192.0.2.66";
pub(super) const OUTSIDER6: &str = "2001:db8::66";

pub(super) fn golden(name: &'static str, fixture: &'static str, frame: &Frame, expect: Expect) -> Golden {
    // The daemon that accepts most: mode 7 without a line that enables it.
    Golden { name, fixture, dialect: Dialect::Ntp426, frame: frame.build(), expect, linear: None }
}

impl Golden {
    /// The same packet in front of another daemon.
    pub(super) fn before(self, dialect: Dialect) -> Self {
        Self { dialect, ..self }
    }
}

pub(super) fn drops(reason: Reason) -> Expect {
    Expect::Counted(reason, None)
}

pub(super) fn passes(reason: Reason) -> Expect {
    Expect::Counted(reason, None)
}

pub(super) fn monlist(source: &str) -> Frame {
    Frame::from(source, 40000).payload(MONLIST)
}

pub(super) fn client(source: &str) -> Frame {
    Frame::from(source, 40000).payload(&time(3, 4))
}
