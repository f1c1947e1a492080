//! The two forms of the XDP program: the same code, with or without the flag for frames in several buffers
//! (BPF_F_XDP_HAS_FRAGS).
//!
//! The kernel attaches either form to any driver (net/core/dev.c:dev_xdp_attach doesn't check). A driver without
//! support for several buffers lets longer frames bypass a program with the flag, or shows it only their first buffer.
//! Generic XDP, from Linux 6.9 on, makes a new packet of each frame for such a program, without the hardware receive
//! timestamp. Where a driver supports several buffers, the flag doesn't harm short frames, and the MTU can be raised
//! without another program. So the choice depends only on the driver and the mode.

use crate::host::{
    driver,
    interface::{self, Interface},
    netlink::{self, Features},
    release::Release,
};
use std::path::Path;

/// The program's name in the object, and in `bpftool prog`.
pub(super) const PROGRAM: &str = "ntpguard";

/// A form of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// For frames in several buffers, too.
    Frags,
    /// For frames in one buffer.
    Linear,
}

impl Form {
    /// The form for an interface: `native` means that the program runs in its driver, otherwise in the stack.
    pub(super) fn on(interface: &Interface, native: bool) -> Self {
        if !native {
            return Self::Linear;
        }
        let all = interface::all().unwrap_or_default();
        let members: Vec<_> = interface::members(&all, interface).collect();
        // A bond passes the program on to all of its members.
        let cards = if members.is_empty() { vec![interface] } else { members };
        if cards.into_iter().all(takes_frags) { Self::Frags } else { Self::Linear }
    }

    /// The other one.
    pub(super) const fn other(self) -> Self {
        match self {
            Self::Frags => Self::Linear,
            Self::Linear => Self::Frags,
        }
    }

    /// The program's name in the object and in `bpftool prog`. It distinguishes the two forms, since the kernel doesn't
    /// report the flag.
    pub(super) const fn program(self) -> &'static str {
        match self {
            Self::Frags => PROGRAM,
            Self::Linear => "ntpguard_linear",
        }
    }

    /// The form with this program name.
    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::Frags, Self::Linear].into_iter().find(|form| form.program() == name)
    }
}

/// Whether the driver of an interface, as it is configured, passes frames in several buffers to programs.
fn takes_frags(card: &Interface) -> bool {
    let root = Path::new("/");
    let row = driver::name(root, card).and_then(|name| driver::find(&name));
    let told = netlink::features(card.index).ok();
    takes(
        row.map(|driver| driver.has_frags(Release::running(root))),
        told.map(|features| features.has(Features::SEVERAL_BUFFERS)),
    )
}

/// Combines what is `known` of the driver and what the kernel has `told` (from Linux 6.3 on): either may be too
/// optimistic.
fn takes(known: Option<bool>, told: Option<bool>) -> bool {
    match (known, told) {
        (Some(known), Some(told)) => known && told,
        (known, told) => known.or(told).unwrap_or(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_the_table_and_the_kernel_must_agree() {
        for (known, told, wanted) in [
            (Some(true), Some(true), true),
            (Some(true), Some(false), false),
            (Some(false), Some(true), false),
            (Some(true), None, true),
            (Some(false), None, false),
            (None, Some(true), true),
            (None, None, false),
        ] {
            assert_eq!(takes(known, told), wanted, "{known:?} {told:?}");
        }
    }

    #[test]
    fn the_stack_gets_the_linear_one_whatever_the_driver() {
        let veth = Interface { kind: Some("veth".to_owned()), ..Interface::default() };
        assert_eq!(Form::on(&veth, false), Form::Linear);
        let stranger =
            Interface { kind: Some("nobody's".to_owned()), index: u32::MAX, ..Interface::default() };
        assert_eq!(Form::on(&stranger, true), Form::Linear);
    }

    #[test]
    fn names_fit_into_the_kernels_fifteen_bytes() {
        for form in [Form::Frags, Form::Linear] {
            assert!(form.program().len() <= 15);
            assert_eq!(Form::named(form.program()), Some(form));
            assert_ne!(form.other(), form);
        }
        assert_eq!(Form::named("somebody's"), None);
    }
}
