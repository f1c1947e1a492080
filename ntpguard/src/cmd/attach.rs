//! `ntpguard attach`: attaches the filter and leaves no process behind.

use super::choose;
use crate::{
    cli::Attach,
    export::Exporter,
    export::Format,
    guard::{self, Service, instance::Instance},
    host::fault::{Blame as _, Fault},
};

/// Attaches the filter and leaves it there.
///
/// # Errors
/// The configuration can't be read, or the filter can't be loaded or attached; what was attached before stays as it was.
pub(super) fn run(mut options: Attach) -> Result<(), Fault> {
    choose::to_guard("attach", &mut options.guarding, Some(&options.places))?;
    let instance = Instance::alone(&options.places).environment()?;
    instance.begin();
    let object = guard::object(&options.guarding);
    guard::fit(&options.guarding)?;
    let mut service = Service::start(options.guarding.clone(), object, Some(instance))?;
    let export = Exporter::new(Format::Text);
    for (interface, attached) in service.attach(None)? {
        export.attached(&interface, &attached);
    }
    // An error in writing this output is ignored: `ntpguard status` shows the same.
    export.finish();
    Ok(())
}
