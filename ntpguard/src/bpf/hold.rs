//! Holds: the links that keep a program attached to an interface. A hold ends with the process, or is pinned and taken
//! over by the next process.

use super::{
    attach::settled,
    filter::Filter,
    how::{Hook, How, Mode, New, is_taken},
    identity::Identity,
    pins::Pins,
    standby,
    tc::at_tc,
};
use crate::host::{
    driver::{self, Driver},
    interface::{self, Interface},
    log::tell,
    release::Release,
};
use anyhow::{Context as _, Result, bail};
use aya::programs::links::{FdLink, PinnedLink};
use std::{
    collections::BTreeSet,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

/// How long both hooks judge when one replaces the other. A packet that passed the first hook before it had a program
/// reaches the second within this time: between them it waits at most in a CPU's backlog queue, which is emptied in one
/// go.
const BOTH: Duration = Duration::from_millis(100);

/// How long to wait for the kernel to let go of an interface.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// The result of attaching.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The hook and mode.
    pub how: How,
    /// Why XDP is generic although native was preferred.
    pub fallback: Option<String>,
    /// The interface was already guarded, and stayed so without a gap.
    pub taken_over: bool,
    /// The interface was already guarded.
    pub was_guarded: bool,
}

/// Attaches to an interface: with a pinned hold, or with one that ends with the process.
pub(super) fn attach(
    filter: &mut Filter<'_>,
    interface: &str,
    mode: Mode,
    pins: Option<(&Pins, Vec<Identity>)>,
) -> Result<(Attached, Option<FdLink>)> {
    let found = fit(interface, filter.hook())?;
    let Some((pins, pinned)) = pins else {
        let New { how, fallback, link } = filter.attach(&found, mode)?;
        return Ok((Attached { how, fallback, taken_over: false, was_guarded: false }, Some(link)));
    };
    if is_others(&pins.link(found.index)?, filter.hook()) {
        return Ok((switch(filter, &found, mode, pins)?, None));
    }
    // A native program that the driver never runs isn't taken over.
    let mode = if filter.hook() == Hook::Xdp { settled(&found, mode) } else { mode };
    if let Some(driver) = keeps_its_program(filter, &found, pins, &pinned) {
        return Ok((attach_again(filter, &found, mode, (pins, driver))?, None));
    }
    if let Some(how) = take_over(filter, &found, mode, (pins, &pinned))? {
        return Ok((Attached { how, fallback: None, taken_over: true, was_guarded: true }, None));
    }
    if pins.link(found.index)?.exists() {
        return Ok((change_mode(filter, &found, mode, pins)?, None));
    }
    let New { how, fallback, link } = filter.attach(&found, mode)?;
    pins.hold(found.index, |path| Ok(link.pin(path).map(drop)?))?;
    Ok((Attached { how, fallback, taken_over: false, was_guarded: false }, None))
}

/// The interface with this name, if it can be guarded at this hook.
///
/// # Errors
/// It can't be.
pub fn fit(name: &str, hook: Hook) -> Result<Interface> {
    let found = interface::find(name)?;
    if found.loopback {
        bail!("{name} is this host's loopback: no packet from outside arrives there; name the network card");
    }
    match hook {
        _ if found.ethernet => Ok(found),
        Hook::Tc if found.bare => Ok(found),
        Hook::Xdp if found.bare => bail!(
            "{name} carries IP packets without an Ethernet header, which the XDP program can't read; `--hook tc` guards it"
        ),
        _ => bail!(
            "{name} has neither Ethernet frames nor bare IP, and ntpguard reads these alone; name the network card"
        ),
    }
}

/// Replaces the program of every pinned hold on an interface that isn't in `named`, and removes holds that hold no
/// interface.
pub(super) fn take_over_others(
    filter: &mut Filter<'_>,
    named: &[String],
    mode: Mode,
    (pins, pinned): (&Pins, Vec<Identity>),
) -> Result<()> {
    let all = interface::all()?;
    for index in pins.links()? {
        let found = all.iter().find(|interface| interface.index == index);
        if found.is_some_and(|interface| named.contains(&interface.name)) {
            continue;
        }
        if let Some(interface) = found
            && let Some(driver) = keeps_its_program(filter, interface, pins, &pinned)
        {
            attach_again(filter, interface, mode, (pins, driver))?;
            continue;
        }
        let path = pins.link(index)?;
        match found.filter(|_| is_others(&path, filter.hook())) {
            Some(interface) => drop(switch(filter, interface, mode, pins)?),
            None if found.is_some_and(|found| stays(filter, found, pins, &pinned)) => (),
            None if update(filter, &path, found)? => (),
            None => pins.release(index)?,
        }
    }
    Ok(())
}

/// How an interface is guarded by a pinned hold, and the program's id; `None` if it isn't guarded, even if there is a
/// pin.
///
/// # Errors
/// The kernel doesn't report it.
pub fn look(pins: &Pins, interface: &Interface) -> Result<Option<(How, u32)>> {
    let path = pins.link(interface.index)?;
    // A pin that was removed in the meantime holds nothing.
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

/// Attaches at this hook, then gives up the other.
///
/// For a moment both hooks judge. A packet that passes the first also meets the second, is counted twice, and is
/// charged twice to its source if it is limited. The reverse order would leave a moment in which no hook judges.
fn switch(filter: &mut Filter<'_>, interface: &Interface, mode: Mode, pins: &Pins) -> Result<Attached> {
    let New { how, fallback, link } = filter.attach(interface, mode)?;
    sleep(BOTH);
    pins.hold(interface.index, |path| Ok(link.pin(path).map(drop)?))?;
    Ok(Attached { how, fallback, taken_over: true, was_guarded: true })
}

/// The driver of an interface, if the program there is to be replaced, but the driver would go on running the old
/// program whatever the hold is updated to.
fn keeps_its_program(
    filter: &mut Filter<'_>,
    interface: &Interface,
    pins: &Pins,
    pinned: &[Identity],
) -> Option<&'static Driver> {
    let all = interface::all().ok()?;
    let driver = driver::irreplaceable(Path::new("/"), &all, interface)?;
    let is_native = matches!(look(pins, interface), Ok(Some((How::Native, _))));
    (is_native && !stays(filter, interface, pins, pinned)).then_some(driver)
}

/// Detaches the filter and attaches it again. Says beforehand how that disturbs the network card.
fn attach_again(
    filter: &mut Filter<'_>,
    interface: &Interface,
    mode: Mode,
    (pins, driver): (&Pins, &Driver),
) -> Result<Attached> {
    let Interface { name, .. } = interface;
    let shown = driver.names.first().copied().unwrap_or_default();
    tell(format_args!("replacing the filter on {name} has no effect in its driver ({shown}):"));
    tell(format_args!("  it is taken off and attached again"));
    let stops = driver.stops.at(Release::running(Path::new("/")));
    if let Some(words) = stops.attach.max(stops.detach).words() {
        tell(format_args!("  each of the two {words}"));
    }
    change_mode(filter, interface, mode, pins)
}

/// Releases an interface and attaches again, in another XDP mode or in the same one. The kernel allows only one XDP
/// program on an interface at a time, so there is always a gap. If the new program can't be attached, the previous mode
/// is restored.
fn change_mode(filter: &mut Filter<'_>, interface: &Interface, mode: Mode, pins: &Pins) -> Result<Attached> {
    let before = match interface.xdp {
        Some(xdp) if xdp.native => Mode::Native,
        _ => Mode::Generic,
    };
    let start = Instant::now();
    pins.release(interface.index)?;
    let changed = attach_soon(filter, interface, mode);
    let kept = changed.as_ref().err().map(|_| attach_soon(filter, interface, before)).transpose();
    let now = match (&changed, kept) {
        (Ok(_), _) => None,
        (Err(_), Ok(kept)) => kept,
        (Err(_), Err(error)) => {
            return Err(error.context(format!("{} isn't guarded any more", interface.name)));
        }
    };
    let gap = start.elapsed();
    if let Some(New { link, .. }) = now {
        pins.hold(interface.index, |path| Ok(link.pin(path).map(drop)?))?;
    }
    tell(format_args!(
        "until it was attached anew, {} wasn't guarded for {} ms",
        interface.name,
        gap.as_millis()
    ));
    let New { how, fallback, link } =
        changed.with_context(|| format!("{} stays guarded in {} mode", interface.name, before.name()))?;
    pins.hold(interface.index, |path| Ok(link.pin(path).map(drop)?))?;
    Ok(Attached { how, fallback, taken_over: false, was_guarded: true })
}

/// Attaches as soon as the kernel has released the previous hold, which happens shortly after its pin is removed.
pub(super) fn attach_soon(filter: &mut Filter<'_>, interface: &Interface, mode: Mode) -> Result<New> {
    let start = Instant::now();
    loop {
        match filter.attach(interface, mode) {
            Err(error) if is_taken(&error) && start.elapsed() < RELEASE_TIMEOUT => {
                sleep(Duration::from_millis(1))
            }
            attached => return attached,
        }
    }
}

/// Replaces the program of a pinned hold without a gap. `None` if the hold no longer exists, or is in another mode.
fn take_over(
    filter: &mut Filter<'_>,
    interface: &Interface,
    mode: Mode,
    (pins, pinned): (&Pins, &[Identity]),
) -> Result<Option<How>> {
    let path = pins.link(interface.index)?;
    if !path.exists() {
        return Ok(None);
    }
    let how = match filter.hook() {
        Hook::Tc => How::Tcx,
        Hook::Xdp => native(interface.xdp.is_some_and(|xdp| xdp.native)),
    };
    if matches!((mode, how), (Mode::Native, How::Generic) | (Mode::Generic, How::Native)) {
        return Ok(None);
    }
    if stays(filter, interface, pins, pinned) || update(filter, &path, Some(interface))? {
        return Ok(Some(how));
    }
    pins.release(interface.index)?;
    Ok(None)
}

/// Whether the program on an interface may stay: it is one of the programs in `pinned`, which use this filter's maps,
/// and has the same code. Some drivers reset the link at every replacement (igc, qede), so none is made without need.
fn stays(filter: &mut Filter<'_>, interface: &Interface, pins: &Pins, pinned: &[Identity]) -> bool {
    let Ok(Some((how, there))) = look(pins, interface) else { return false };
    if how == How::Native && standby::may_have_lost(interface) {
        // It is unknown whether the program still runs there; in such drivers a replacement has no cost.
        return false;
    }
    let there = pinned.iter().find(|program| program.id == there);
    there.is_some_and(|there| filter.identity(interface, how).is_ok_and(|own| own.is_same_code(there)))
}

/// The ids of the programs of the pinned holds.
pub(super) fn behind(pins: &Pins) -> Result<BTreeSet<u32>> {
    let program = |index| {
        let pinned = PinnedLink::from_pin(pins.link(index).ok()?).ok()?;
        Some(FdLink::from(pinned).info().ok()?.program_id())
    };
    Ok(pins.links()?.into_iter().filter_map(program).collect())
}

/// Gives up an interface. If its program ran in a driver, also removes the pins of programs that no hold needs any
/// more.
///
/// # Errors
/// There is no hold, or it can't be removed.
pub fn give_up(pins: &Pins, interface: &Interface) -> Result<()> {
    let there = look(pins, interface).ok().flatten();
    pins.release(interface.index)?;
    if pins.links()?.is_empty() {
        pins.unlearn()?;
    }
    // The kernel's core detaches programs in the stack itself.
    let Some((How::Native, there)) = there else { return Ok(()) };
    let needed = behind(pins)?;
    let current = pins.current()?.map(|place| place.programs()).unwrap_or_default();
    let programs = current.into_iter().map(|(_, program)| program.id).chain([there]);
    programs.filter(|program| !needed.contains(program)).try_for_each(|program| pins.retire(program))
}

/// Replaces the program of a pinned hold; `false` if it no longer holds an interface, or the pin isn't a hold.
fn update(filter: &mut Filter<'_>, path: &Path, interface: Option<&Interface>) -> Result<bool> {
    let Ok(pinned) = PinnedLink::from_pin(path) else { return Ok(false) };
    filter.replace(pinned.into(), interface).with_context(|| format!("at {}", path.display()))
}
