//! `ntpguard report`: which addresses dropped queries had as their source, which are the victims of floods.
//!
//! Contract: it only reads. No DNS or whois server learns which addresses are looked at.

use super::closed::until_closed;
use crate::{
    cli::Report,
    export::{Format, report::Abuse},
    guard::state,
    host::{
        fault::{Blame as _, Fault},
        log::warn,
    },
    observe::{
        feed::{Answer, Request, ask},
        history::{DAY, History, Summary, file},
    },
};
use anyhow::{Context as _, Result};
use std::io::Write as _;

/// Prints the report.
///
/// # Errors
/// There is no history, or this user may not read it.
pub(super) fn run(options: &Report) -> Result<(), Fault> {
    let now = state::now();
    let summary = fetch(options, now).environment()?;
    if options.since.as_secs() > DAY {
        warn(format_args!("what is older than a day is forgotten"));
    }
    let abuse = Abuse::new(&summary, options.networks);
    let text = match options.format {
        Format::Text => abuse.text(),
        Format::Json => abuse.json(now).to_string(),
    };
    until_closed(writeln!(options.format.stdout(), "{text}").map_err(Into::into)).environment()
}

/// The drops up to now (in seconds since 1970), from a running `ntpguard run` or from the history that it wrote last.
fn fetch(options: &Report, now: u64) -> Result<Summary> {
    let asked = Request::History { seconds: options.since.as_secs() };
    if let Some(Answer::History(summary)) = ask(&options.places, &asked)? {
        return Ok(summary);
    }
    let folder = &options.places.state_dir;
    let history = History::load(folder)?.with_context(|| {
        format!(
            "there is no {} of this version: `ntpguard run` writes it every few minutes",
            file(folder).display()
        )
    })?;
    Ok(history.since(options.since, now))
}
