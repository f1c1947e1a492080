//! Holds on interfaces: one that goes with the process, or one that is pinned, and then taken over by the next.

use super::{
    attach::Mode,
    hook::{Filter, Hook, How, New},
    pins::Pins,
    tc::at_tc,
};
use crate::interface::{self, Interface};
use anyhow::{Context as _, Result, bail};
use aya::programs::links::{FdLink, PinnedLink};
use std::{path::Path, thread::sleep, time::Duration};

/// How long both hooks judge when one takes over from the other. A packet between the two, past the first before there was
/// a program, is at the second by then: it waits in no longer queue than a CPU's backlog, which is emptied in one go.
const BOTH: Duration = Duration::from_millis(100);

/// How it came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Where, and how.
    pub how: How,
    /// Why it is generic XDP, though native was preferred.
    pub fallback: Option<String>,
    /// The interface was guarded before, and there was no gap.
    pub taken_over: bool,
}

/// Attaches to an interface: with a hold that is pinned, or one that goes with the program.
pub(super) fn attach(
    filter: &mut Filter<'_>,
    interface: &str,
    mode: Mode,
    pins: Option<&Pins>,
) -> Result<(Attached, Option<FdLink>)> {
    let found = interface::find(interface)?;
    if found.loopback {
        bail!(
            "{interface} is this host's loopback: no packet from outside arrives there; name the network card"
        );
    }
    if !found.ethernet {
        bail!(
            "{interface} is no Ethernet interface, and ntpguard reads Ethernet frames; name the network card"
        );
    }
    let Some(pins) = pins else {
        let New { how, fallback, link } = filter.attach(&found, mode)?;
        return Ok((Attached { how, fallback, taken_over: false }, Some(link)));
    };
    if is_others(&pins.link(found.index)?, filter.hook()) {
        return Ok((switch(filter, &found, mode, pins)?, None));
    }
    if let Some(how) = take_over(filter, &found, mode, pins)? {
        return Ok((Attached { how, fallback: None, taken_over: true }, None));
    }
    let New { how, fallback, link } = filter.attach(&found, mode)?;
    pins.hold(found.index, |path| Ok(link.pin(path).map(drop)?))?;
    Ok((Attached { how, fallback, taken_over: false }, None))
}

/// Replaces the program behind every hold on other interfaces than those named, and removes holds that hold nothing.
pub(super) fn take_over_others(
    filter: &mut Filter<'_>,
    named: &[String],
    mode: Mode,
    pins: &Pins,
) -> Result<()> {
    let all = interface::all()?;
    for index in pins.links()? {
        let found = all.iter().find(|interface| interface.index == index);
        if found.is_some_and(|interface| named.contains(&interface.name)) {
            continue;
        }
        let path = pins.link(index)?;
        match found.filter(|_| is_others(&path, filter.hook())) {
            Some(interface) => drop(switch(filter, interface, mode, pins)?),
            None if update(filter, &path)? => (),
            None => pins.release(index)?,
        }
    }
    Ok(())
}

/// How an interface is guarded by what is pinned, and the program's id; `None` if it isn't, though it is held.
///
/// # Errors
/// The kernel doesn't tell.
pub fn look(pins: &Pins, interface: &Interface) -> Result<Option<(How, u32)>> {
    let path = pins.link(interface.index)?;
    // One that has gone meanwhile holds nothing.
    let Ok(pinned) = PinnedLink::from_pin(&path) else { return Ok(None) };
    let info = FdLink::from(pinned).info()?;
    let program = info.program_id();
    Ok(match Hook::of(info.link_type()?) {
        Some(Hook::Xdp) => {
            interface.xdp.filter(|xdp| xdp.program == program).map(|xdp| (native(xdp.native), program))
        }
        Some(Hook::Tc) => at_tc(&interface.name)?.contains(&program).then_some((How::Tcx, program)),
        None => None,
    })
}

const fn native(native: bool) -> How {
    if native { How::Native } else { How::Generic }
}

/// Whether a pin holds a program of another hook.
fn is_others(path: &Path, hook: Hook) -> bool {
    let link = PinnedLink::from_pin(path).ok().and_then(|pinned| FdLink::from(pinned).info().ok());
    let held = link.and_then(|info| info.link_type().ok()).and_then(Hook::of);
    held.is_some_and(|held| held != hook)
}

/// Attaches at this hook, and then gives up the other.
///
/// For an instant both judge: what passes the one comes before the other, is counted twice, and twice charged to its
/// source where the policy limits. With one of the two no packet would be judged.
fn switch(filter: &mut Filter<'_>, interface: &Interface, mode: Mode, pins: &Pins) -> Result<Attached> {
    let New { how, fallback, link } = filter.attach(interface, mode)?;
    sleep(BOTH);
    pins.hold(interface.index, |path| Ok(link.pin(path).map(drop)?))?;
    Ok(Attached { how, fallback, taken_over: true })
}

/// Replaces the program behind a hold that is pinned, without a gap. `None` if there is no such hold any more.
fn take_over(filter: &mut Filter<'_>, interface: &Interface, mode: Mode, pins: &Pins) -> Result<Option<How>> {
    let path = pins.link(interface.index)?;
    if !path.exists() {
        return Ok(None);
    }
    let how = match filter.hook() {
        Hook::Tc => How::Tcx,
        Hook::Xdp => native(interface.xdp.is_some_and(|xdp| xdp.native)),
    };
    // The kernel has no two modes of XDP on an interface at once, so there is no way without a gap.
    let other = matches!((mode, how), (Mode::Native, How::Generic) | (Mode::Generic, How::Native));
    if !other && update(filter, &path)? {
        return Ok(Some(how));
    }
    pins.release(interface.index)?;
    Ok(None)
}

/// Puts the program behind a pinned hold; `false` if that holds no interface any more, or isn't one.
fn update(filter: &mut Filter<'_>, path: &Path) -> Result<bool> {
    let Ok(pinned) = PinnedLink::from_pin(path) else { return Ok(false) };
    filter.replace(pinned.into()).with_context(|| format!("at {}", path.display()))
}
