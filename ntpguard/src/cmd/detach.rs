//! `ntpguard detach`: takes the filter away from interfaces.

use crate::{
    bpf::{self, Pins},
    cli::Detach,
    fault::{Blame as _, Fault},
    home::{Home, Taken},
    host::{
        driver::{self, Loss},
        release::Release,
    },
    interface::{self, Interface},
    service::restore,
    state::{Card, State},
    writer::{tell, warn},
};
use anyhow::{Context as _, anyhow};
use std::{collections::BTreeMap, path::Path};

/// Detaches.
///
/// # Errors
/// The interface isn't guarded, or `ntpguard run` looks after it.
pub(super) fn run(options: &Detach) -> Result<(), Fault> {
    let Detach { interface: names, all, force, places } = options;
    // Kept to the end: nobody attaches meanwhile.
    let home = Home::enter(places).environment()?;
    if let Err(Taken { pid }) = &home
        && !force
    {
        let who = pid.map(|pid| format!(" (process {pid})")).unwrap_or_default();
        let error = anyhow!("an ntpguard{who} looks after the filter: stop it first, or --force");
        return Err(Fault::Environment(error));
    }
    let pins = match &home {
        Ok(home) => home.pins.clone(),
        Err(_) => Pins::open(&places.pin_path).environment()?,
    };
    let mut state = State::load(&places.state_dir).ok().flatten();
    let is_here = home.as_ref().ok().zip(state.as_ref()).map_or(Ok(()), |(home, state)| home.is_here(state));
    if *all {
        let mut left = bpf::give_up_all(&pins).environment()?;
        // A process that looks after the filter has it loaded, too.
        left.retain(|(interface, _)| home.is_ok() && !leaks(interface));
        // Of another network namespace's interfaces the numbers are others here.
        if is_here.is_ok() {
            put_back(home.as_ref().ok(), state.as_mut(), |_| true);
        }
        if left.is_empty() {
            tell(format_args!("nothing is guarded any more"));
        }
        return end(&left);
    }
    is_here.environment()?;
    let guarded = pins.links().environment()?;
    let mut left = Vec::new();
    for name in names {
        let found = interface::find(name).environment()?;
        if !guarded.contains(&found.index) {
            return Err(Fault::Environment(anyhow!("{name} isn't guarded; see `ntpguard status`")));
        }
        let stays =
            bpf::give_up(&pins, &found).with_context(|| format!("{name} is still guarded")).environment()?;
        put_back(home.as_ref().ok(), state.as_mut(), |card| card.guarded == found.index);
        match stays {
            Some(program) if home.is_ok() && !leaks(&found) => left.push((found, program)),
            _ => tell(format_args!("{name} isn't guarded any more")),
        }
    }
    end(&left)
}

/// Puts back what attaching has changed of network cards, and forgets it.
fn put_back(home: Option<&Home>, state: Option<&mut State>, is_free: impl Fn(&Card) -> bool) {
    let Some(state) = state else { return };
    let free: BTreeMap<_, _> = state.cards.extract_if(.., |_, card| is_free(card)).collect();
    restore(&free);
    if let Some(Err(error)) = home.filter(|_| !free.is_empty()).map(|home| home.save(state)) {
        warn(format_args!("{error:#}; the next `detach` may put the cards' features back once more"));
    }
}

/// Says which programs have stayed in their drivers, and what helps.
fn end(left: &[(Interface, u32)]) -> Result<(), Fault> {
    let words: Vec<_> = left.iter().map(|(interface, program)| stays(interface, *program)).collect();
    if words.is_empty() { Ok(()) } else { Err(Fault::Environment(anyhow!(words.join("\n")))) }
}

/// Whether a program of this driver stays loaded though nothing runs it: drivers that lose it while they rebuild their rings
/// don't give their reference back (vmxnet3_drv.c:vmxnet3_rq_cleanup_all), so nothing frees it before the next boot.
fn leaks(interface: &Interface) -> bool {
    let losses = bpf::losing(interface).map_or(&[][..], |driver| driver.losses);
    losses.iter().any(|loss| matches!(loss, Loss::LinkUp | Loss::Mtu | Loss::Rings | Loss::Reset))
}

/// What is wrong where a program stays, and what to do about it.
fn stays(interface: &Interface, program: u32) -> String {
    let Interface { name, mtu, .. } = interface;
    let root = Path::new("/");
    let driver = driver::name(root, interface);
    let row = driver.as_deref().and_then(driver::find);
    let longest = row.and_then(|driver| driver.longest(Release::running(root), true));
    let driver = driver.map(|driver| format!(" ({driver})")).unwrap_or_default();
    let lower = match longest.filter(|longest| mtu > longest) {
        Some(longest) => format!(
            "its MTU of {mtu} is over the driver's limit of {longest}: `ip link set dev {name} mtu 1500`, then "
        ),
        None => String::new(),
    };
    format!(
        "{name} isn't held any more, but its program (id {program}) is still loaded: either its driver{driver} goes on running \
         it, or somebody else has opened or pinned it; {lower}`ntpguard attach --interface {name}` and `ntpguard detach \
         --interface {name}` once more"
    )
}
