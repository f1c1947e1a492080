//! `ntpguard detach`: takes the filter away from interfaces.

use crate::{
    bpf::Pins,
    cli::Detach,
    fault::{Blame as _, Fault},
    home::{Home, Taken},
    interface,
    writer::tell,
};
use anyhow::{Context as _, anyhow};

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
    if *all {
        pins.clear().environment()?;
        tell(format_args!("nothing is guarded any more"));
        return Ok(());
    }
    if let Ok(home) = &home
        && let Ok(Some(state)) = home.state()
    {
        home.is_here(&state).environment()?;
    }
    let guarded = pins.links().environment()?;
    for name in names {
        let found = interface::find(name).environment()?;
        if !guarded.contains(&found.index) {
            return Err(Fault::Environment(anyhow!("{name} isn't guarded; see `ntpguard status`")));
        }
        pins.release(found.index).with_context(|| format!("{name} is still guarded")).environment()?;
        tell(format_args!("{name} isn't guarded any more"));
    }
    Ok(())
}
