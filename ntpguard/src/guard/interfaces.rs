//! Which interfaces a guard covers, and which program fits them.

use crate::{
    bpf::{self, Object},
    guard::{instance::Instance, options::Guarding},
    host::{
        fault::{Blame as _, Fault},
        interface::{self, Interface},
        log::tell,
    },
};
use anyhow::{Result, ensure};

/// Makes sure that the interfaces can be guarded, before anything is changed.
///
/// # Errors
/// An interface doesn't exist, or is of a kind that can't be guarded.
pub fn fit(options: &Guarding) -> Result<(), Fault> {
    options.interface.iter().try_for_each(|name| bpf::fit(name, options.hook).map(drop)).environment()
}

/// The program to load for these options.
pub fn object(options: &Guarding) -> Object {
    let first = options.interface.first().and_then(|name| interface::find(name).ok());
    Object::on(options.hook, first.as_ref(), options.xdp_mode.may_be_native())
}

/// Adds the interfaces that are guarded already: the new options apply to them, too. Fails if one interface gets its packets
/// through another one.
pub(super) fn join(named: &mut Vec<String>, instance: Option<&Instance>) -> Result<()> {
    let all = interface::all()?;
    let held = instance.map(|instance| instance.pins.links()).transpose()?.unwrap_or_default();
    let others = all.iter().filter(|interface| held.contains(&interface.index));
    for Interface { name, .. } in others {
        if !named.contains(name) {
            tell(format_args!("{name} is guarded already, and by these options, too, from now on"));
            named.push(name.clone());
        }
    }
    let words = interface::overlap(&all, named);
    ensure!(words.is_none(), "{}", words.unwrap_or_default());
    Ok(())
}
