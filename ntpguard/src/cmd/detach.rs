//! `ntpguard detach`: takes the filter off interfaces.

use super::choose;
use crate::{
    bpf::{self, Before, Left, Pins},
    cli::Detach,
    guard::{
        instance::{Instance, Taken},
        restore,
        state::{Card, Summary},
    },
    host::{
        driver::{Driver, Leak, Setup},
        fault::{Blame as _, Fault},
        interface::{self, Interface},
        log::{tell, warn},
    },
};
use anyhow::{Context as _, anyhow};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// Detaches the filter.
///
/// # Errors
/// An interface isn't guarded, `ntpguard run` looks after the filter, or a program stays loaded.
pub(super) fn run(options: &Detach) -> Result<(), Fault> {
    let Detach { interfaces, all, force, places } = options;
    // Held to the end, so that nothing attaches meanwhile.
    let instance = Instance::enter(places).environment()?;
    if let Err(Taken { pid }) = &instance
        && !force
    {
        let who = pid.map(|pid| format!(" (process {pid})")).unwrap_or_default();
        let error = anyhow!("an ntpguard{who} looks after the filter: stop it first, or --force");
        return Err(Fault::Environment(error));
    }
    let pins = match &instance {
        Ok(instance) => instance.pins.clone(),
        Err(_) => Pins::open(&places.pin_path).environment()?,
    };
    let state = Summary::load(&places.state_dir).unwrap_or_else(|error| {
        warn(format_args!("{error:#}: what attaching has changed of network cards stays so"));
        None
    });
    let is_here = instance
        .as_ref()
        .ok()
        .zip(state.as_ref())
        .map_or(Ok(()), |(instance, state)| instance.is_here(state.namespace));
    let before = Before::look(&pins).environment()?;
    let held = pins.links().environment()?;
    if *all {
        let mut given = interface::all().environment()?;
        given.retain(|interface| held.contains(&interface.index));
        pins.clear().environment()?;
        // In another network namespace the interface indexes of the state mean other interfaces.
        if is_here.is_ok() {
            put_back(instance.as_ref().ok(), state.as_ref(), |_| true);
        }
        let left = left(before, &pins, instance.is_ok())?;
        if left.is_empty() {
            tell(format_args!("nothing is guarded any more"));
        }
        return end(&left, &given);
    }
    is_here.environment()?;
    let mut given = Vec::new();
    for name in &choose::to_give_up(interfaces.clone(), places)? {
        let found = interface::find(name).environment()?;
        if !held.contains(&found.index) {
            return Err(Fault::Environment(anyhow!("{name} isn't guarded; see `ntpguard status`")));
        }
        given.push(found);
    }
    for found in &given {
        let still = || format!("{} is still guarded", found.name);
        bpf::give_up(&pins, found).with_context(still).environment()?;
        put_back(instance.as_ref().ok(), state.as_ref(), |card| card.guarded == found.index);
    }
    let left = left(before, &pins, instance.is_ok())?;
    for Interface { name, .. } in &given {
        if !left.iter().any(|left| left.on.as_ref().is_some_and(|on| on.name == *name)) {
            tell(format_args!("{name} isn't guarded any more"));
        }
    }
    end(&left, &given)
}

/// The programs that stay loaded. Not determined while another process looks after the filter, since it has them loaded too.
fn left(before: Before, pins: &Pins, alone: bool) -> Result<Vec<Left>, Fault> {
    if alone { before.left(pins).environment() } else { Ok(Vec::new()) }
}

/// Restores what attaching has changed of network cards, and removes it from the state.
fn put_back(instance: Option<&Instance>, state: Option<&Summary>, is_free: impl Fn(&Card) -> bool) {
    let cards = state.map(|state| state.cards.clone()).unwrap_or_default();
    let free: BTreeMap<_, _> = cards.into_iter().filter(|(_, card)| is_free(card)).collect();
    restore(&free);
    // The state may hold a million rules, so it is rewritten only if this changes something.
    let is_altered = free.values().any(|card| !card.altered.is_nothing());
    let forget = |instance: &Instance| {
        let Some(mut state) = instance.state()? else { return Ok(()) };
        state.cards.retain(|index, _| !free.contains_key(index));
        instance.save(&state)
    };
    if let Some(Err(error)) = instance.filter(|_| is_altered).map(forget) {
        warn(format_args!("{error:#}; the next `detach` may put the cards' features back once more"));
    }
}

/// An error that names the programs that are still loaded and says what helps; success if there are none.
fn end(left: &[Left], given: &[Interface]) -> Result<(), Fault> {
    match loaded(left, given) {
        Some(words) => Err(Fault::Environment(anyhow!(words))),
        None => Ok(()),
    }
}

/// A message that names the programs that are still loaded and says what helps; `None` if there are none. `given` are the
/// interfaces that were guarded until now.
pub(super) fn loaded(left: &[Left], given: &[Interface]) -> Option<String> {
    let all = interface::all().unwrap_or_default();
    let on = left.iter().filter_map(|Left { program, on }| Some((on.as_ref()?, *program)));
    let mut words: Vec<_> = on
        .map(|(interface, program)| stays(&Setup::read(Path::new("/"), &all, interface), program))
        .collect();
    let others: Vec<_> = left.iter().filter(|left| left.on.is_none()).map(|left| left.program).collect();
    if !others.is_empty() {
        let leaking = given.iter().flat_map(bpf::drivers).find(|driver| driver.leaks.is_some());
        words.push(stay(&others, leaking));
    }
    (!words.is_empty()).then(|| words.join("\n"))
}

/// The message about a program that was on an interface until now and is still loaded, and what to do about it.
fn stays(setup: &Setup, program: u32) -> String {
    let name = &setup.name;
    let cards: Vec<_> = if setup.lower.is_empty() { vec![setup] } else { setup.lower.iter().collect() };
    // A driver that loses programs without releasing them runs none of them.
    let is_lost = |row: &&Driver| row.leaks == Some(Leak::Lost);
    if let Some(row) = cards.iter().filter_map(|card| card.row()).find(is_lost) {
        return format!("{name} isn't held any more; {}", kept(&[program], row));
    }
    let limits = cards.iter().filter_map(|card| {
        let longest = card.row()?.longest(card.release, true)?;
        (card.mtu > longest).then_some((card, longest))
    });
    let lower = match limits.min_by_key(|(_, longest)| *longest) {
        Some((card, longest)) => format!(
            "the MTU of {} is {}, over its driver's limit of {longest}: `ip link set dev {name} mtu {}`, then ",
            card.name,
            card.mtu,
            longest.min(1500),
        ),
        None => String::new(),
    };
    let drivers: BTreeSet<_> = cards.iter().filter_map(|card| card.driver.as_deref()).collect();
    let drivers = match drivers.into_iter().collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => none,
        drivers => format!(" ({drivers})"),
    };
    // Attaching and detaching again replaces the program that the driver still has. If the driver has refused to give it
    // up, the kernel's XDP dispatcher also keeps a reference, which only that would have released
    // (net/core/dev.c:dev_xdp_install, kernel/bpf/dispatcher.c).
    let is_refused = !lower.is_empty();
    let leaks = cards
        .iter()
        .copied()
        .chain([setup])
        .any(|card| card.row().is_some_and(|row| row.leaks == Some(Leak::Replaced)));
    let then = match leaks || is_refused {
        true => {
            "; from then on nothing runs it, but it stays loaded until the next boot, and takes memory alone"
        }
        false => "",
    };
    format!(
        "{name} isn't held any more, but its program (id {program}) is still loaded: either its driver{drivers} goes on running \
         it, or somebody else has opened or pinned it; {lower}`ntpguard attach --interface {name}` and `ntpguard detach \
         --interface {name}` once more{then}"
    )
}

/// The message about programs that were replaced earlier, or ran in generic mode, and are still loaded.
fn stay(programs: &[u32], leaking: Option<&Driver>) -> String {
    match leaking {
        Some(row) => kept(programs, row),
        None => format!(
            "{} is still loaded, though no interface has it: somebody else has opened or pinned it, or a driver keeps it; nothing of \
             ntpguard's does",
            earlier(programs)
        ),
    }
}

/// The message about a driver that keeps programs that it doesn't run.
fn kept(programs: &[u32], row: &Driver) -> String {
    let driver = row.names.first().copied().unwrap_or_default();
    let leak = row.leaks.map(Leak::words).unwrap_or_default();
    format!(
        "{} stays loaded until the next boot: {driver} keeps {leak}; nothing runs it, and it takes memory alone",
        earlier(programs)
    )
}

/// ntpguard's programs, listed by id.
fn earlier(programs: &[u32]) -> String {
    let ids: Vec<_> = programs.iter().map(u32::to_string).collect();
    match ids.as_slice() {
        [one] => format!("a program of ntpguard's (id {one})"),
        ids => format!("each of {} programs of ntpguard's (ids {})", ids.len(), ids.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{driver, release::Release};

    fn card(name: &str, driver: &str, mtu: u32) -> Setup {
        let (name, driver) = (name.to_owned(), Some(driver.to_owned()));
        Setup { name, driver, mtu, release: Release(6, 1), ..Setup::default() }
    }

    #[test]
    fn a_program_that_stays_is_told_with_the_mtu_that_helps() {
        let said = stays(&card("eth0", "virtio_net", 9000), 27);
        assert!(said.contains("(id 27) is still loaded") && said.contains("(virtio_net)"), "{said}");
        assert!(said.contains("the MTU of eth0 is 9000, over its driver's limit of 4064"), "{said}");
        assert!(
            said.contains("`ip link set dev eth0 mtu 1500`, then `ntpguard attach --interface eth0`"),
            "{said}"
        );
        // The dispatcher keeps what a driver has refused to give up.
        let then = "from then on nothing runs it, but it stays loaded until the next boot";
        assert!(said.contains(then), "{said}");
        let other = stays(&card("eth0", "virtio_net", 1500), 27);
        assert!(!other.contains("mtu") && !other.contains("next boot"), "{other}");
    }

    #[test]
    fn of_a_bond_the_members_drivers_count() {
        let lower = vec![card("eth0", "virtio_net", 9000), card("eth1", "virtio_net", 9000)];
        let said = stays(&Setup { lower, ..card("bond0", "bond", 9000) }, 29);
        assert!(said.contains("its driver (virtio_net) goes on"), "{said}");
        assert!(said.contains("the MTU of eth0 is 9000, over its driver's limit of 4064"), "{said}");
        assert!(
            said.contains("`ip link set dev bond0 mtu 1500`, then `ntpguard attach --interface bond0`"),
            "{said}"
        );
        // bond_xdp_set releases a program that it removes, but none that it replaces.
        let then = "from then on nothing runs it, but it stays loaded until the next boot";
        assert!(said.contains(then), "{said}");
    }

    #[test]
    fn what_a_driver_keeps_for_nothing_is_told_apart() {
        let bond = driver::find("bond");
        assert_eq!(
            stay(&[19], bond),
            "a program of ntpguard's (id 19) stays loaded until the next boot: bond keeps a program that another one has \
             replaced; nothing runs it, and it takes memory alone"
        );
        assert!(
            stay(&[19, 22], bond).starts_with("each of 2 programs of ntpguard's (ids 19, 22) stays loaded")
        );
        assert!(stay(&[19], None).contains("somebody else has opened or pinned it"));
        let lost = stays(&card("eth0", "vmxnet3", 1500), 26);
        assert!(
            lost.contains("vmxnet3 keeps a program that it has lost") && !lost.contains("once more"),
            "{lost}"
        );
    }
}
