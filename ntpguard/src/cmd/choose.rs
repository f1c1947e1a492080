//! Which interfaces are meant if none is named: one is taken only if no other makes sense, and a message says so.

use crate::{
    bpf::Pins,
    guard::{
        instance,
        options::{Guarding, Places},
    },
    host::{
        fault::{Blame as _, Fault},
        interface::{self, Interface},
        log::tell,
        routes,
    },
};
use anyhow::anyhow;

/// Fills in the interfaces that `run` and `attach` guard. If a filter is pinned at `places` already, its interfaces are meant.
///
/// # Errors
/// No interface is named, and none or more than one makes sense.
pub(super) fn to_guard(verb: &str, options: &mut Guarding, places: Option<&Places>) -> Result<(), Fault> {
    if !options.interface.is_empty() {
        return Ok(());
    }
    let all = interface::all().environment()?;
    let guarded = places.map_or_else(Vec::new, |places| guarded(&all, places));
    if guarded.is_empty() {
        let Choice { name, words } = only(verb, &all, &routes::defaults())?;
        tell(format_args!("{words}"));
        options.interface.push(name);
    } else {
        tell(format_args!(
            "no interface named; going on with what is guarded already: {}",
            guarded.join(", ")
        ));
        options.interface = guarded;
    }
    Ok(())
}

/// The interfaces from which `detach` takes the filter off: without names, the only interface that is guarded.
///
/// # Errors
/// No interface is named, and none or more than one is guarded.
pub(super) fn to_give_up(named: Vec<String>, places: &Places) -> Result<Vec<String>, Fault> {
    if !named.is_empty() {
        return Ok(named);
    }
    let guarded = guarded(&interface::all().environment()?, places);
    match &guarded[..] {
        [] => Err(Fault::Environment(anyhow!(instance::nothing(&places.pin_path)))),
        [name] => {
            tell(format_args!("no interface named; taking {name}, the only one that is guarded"));
            Ok(guarded)
        }
        several => Err(Fault::Usage(anyhow!("which interface? {}, or --all", commands("detach", several)))),
    }
}

/// The names of the interfaces to which the pinned filter is attached.
fn guarded(all: &[Interface], places: &Places) -> Vec<String> {
    let held = Pins::find(&places.pin_path).and_then(|pins| pins.links().ok()).unwrap_or_default();
    let held = all.iter().filter(|interface| held.contains(&interface.index));
    held.map(|interface| interface.name.clone()).collect()
}

/// An interface, and the message that says why it was chosen.
#[derive(Debug)]
struct Choice {
    name: String,
    words: String,
}

/// The only interface that makes sense: it is up, and it has a default route or is the only hardware.
fn only(verb: &str, all: &[Interface], routed: &[String]) -> Result<Choice, Fault> {
    let up: Vec<_> = all.iter().filter(|interface| interface.up && !interface.loopback).collect();
    let hardware: Vec<_> = up.iter().filter(|interface| interface.kind.is_none()).collect();
    let is_routed = |interface: &Interface| routed.contains(&interface.name);
    let is_only_hardware =
        |interface: &Interface| matches!(hardware[..], [only] if only.index == interface.index);
    let sensible: Vec<_> =
        up.iter().filter(|interface| is_routed(interface) || is_only_hardware(interface)).collect();
    let [found] = sensible[..] else {
        let listed = if sensible.is_empty() { up.iter().collect() } else { sensible };
        let names: Vec<_> = listed.iter().map(|interface| interface.name.clone()).collect();
        return Err(Fault::Usage(if names.is_empty() {
            anyhow!("which interface? None here is up but the loopback; name it: `ntpguard {verb} IF`")
        } else {
            anyhow!("which interface? {}", commands(verb, &names))
        }));
    };
    let why = if is_routed(found) { "with a default route" } else { "that is hardware and up" };
    let others: Vec<_> =
        up.iter().filter(|other| other.index != found.index).map(|other| other.name.as_str()).collect();
    let rest =
        if others.is_empty() { String::new() } else { format!("; not guarded: {}", others.join(", ")) };
    let name = found.name.clone();
    Ok(Choice { words: format!("no interface named; taking {name}, the only one {why}{rest}"), name })
}

/// The command for each interface.
fn commands(verb: &str, names: &[String]) -> String {
    let commands: Vec<_> = names.iter().map(|name| format!("`ntpguard {verb} {name}`")).collect();
    commands.join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The message about the interface taken, or the error; each interface is given with its kind, `None` for hardware.
    fn taken(interfaces: &[(&str, Option<&str>, bool)], routed: &[&str]) -> Result<String, String> {
        let mut all = vec![Interface {
            index: 1,
            name: "lo".to_owned(),
            loopback: true,
            up: true,
            ..Interface::default()
        }];
        for (index, (name, kind, up)) in (2..).zip(interfaces) {
            let (name, kind) = ((*name).to_owned(), kind.map(str::to_owned));
            all.push(Interface { index, name, kind, up: *up, ..Interface::default() });
        }
        let routed: Vec<_> = routed.iter().map(|name| (*name).to_owned()).collect();
        only("run", &all, &routed).map(|choice| choice.words).map_err(|fault| fault.to_string())
    }

    #[test]
    fn the_only_one_that_makes_sense_is_taken() {
        let eth0 = ("eth0", None, true);
        assert_eq!(
            taken(&[eth0], &["eth0"]).unwrap(),
            "no interface named; taking eth0, the only one with a default route"
        );
        assert_eq!(
            taken(&[eth0, ("docker0", Some("bridge"), true), ("eth1", None, false)], &[]).unwrap(),
            "no interface named; taking eth0, the only one that is hardware and up; not guarded: docker0"
        );
        assert_eq!(
            taken(&[eth0, ("eth1", None, true), ("bond0", Some("bond"), true)], &["bond0"]).unwrap(),
            "no interface named; taking bond0, the only one with a default route; not guarded: eth0, eth1"
        );
    }

    #[test]
    fn of_several_none_is_taken_and_the_commands_are_said() {
        let both = [("eth0", None, true), ("eth1", None, true)];
        assert_eq!(
            taken(&both, &["eth0", "eth1"]).unwrap_err(),
            "which interface? `ntpguard run eth0` or `ntpguard run eth1`"
        );
        // Neither makes more sense than the other.
        assert_eq!(taken(&both, &[]).unwrap_err(), taken(&both, &["eth0", "eth1"]).unwrap_err());
        // Both the bridge and its port make sense.
        let bridge = [("eth0", None, true), ("br0", Some("bridge"), true)];
        assert!(taken(&bridge, &["br0"]).unwrap_err().contains("run eth0` or `ntpguard run br0`"));
        assert!(taken(&[("eth0", None, false)], &["eth0"]).unwrap_err().contains("None here is up"));
        assert!(taken(&[], &["lo"]).is_err());
    }
}
