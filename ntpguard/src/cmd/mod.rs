//! The verbs, one in each file.

mod attach;
mod capture;
mod check;
mod choose;
mod closed;
mod detach;
mod doctor;
mod enforce;
mod events;
mod explain;
mod reload;
mod replay;
mod report;
mod restore;
mod run;
mod stats;
mod status;
mod top;

use crate::{cli::Verb, host::fault::Fault};

/// Runs a verb.
///
/// # Errors
/// The verb failed; the [`Fault`] says whose fault it is.
pub fn run(verb: Verb) -> Result<(), Fault> {
    match verb {
        Verb::Run(options) => run::run(*options),
        Verb::Attach(options) => attach::run(*options),
        Verb::Detach(options) => detach::run(&options),
        Verb::Reload(options) => reload::run(&options),
        Verb::Enforce(options) => enforce::enforce(&options),
        Verb::Monitor(places) => enforce::monitor(&places),
        Verb::Status(options) => status::run(&options),
        Verb::Stats(options) => stats::run(&options),
        Verb::Events(options) => events::run(&options),
        Verb::Capture(options) => capture::run(&options),
        Verb::Top(options) => top::run(&options),
        Verb::Report(options) => report::run(&options),
        Verb::Explain(options) => explain::run(&options),
        Verb::Replay(options) => replay::run(&options),
        Verb::RestoreFeatures => restore::run(),
        Verb::Check(options) => check::run(&options),
        Verb::Doctor(options) => doctor::run(&options),
    }
}
