//! `ntpguard events`: shows drops one by one, from the sample that becomes events.

use super::closed::until_closed;
use crate::{
    cli::Events,
    export::events::line,
    host::{
        fault::{Blame as _, Fault},
        log::tell,
    },
    observe::{
        event::Event,
        event_filter,
        feed::{Answer, Follower, Request, ask},
    },
};
use anyhow::{Result, bail};
use std::{
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// How long to wait for events before signals are checked again.
const LOOK: Duration = Duration::from_millis(200);

/// Shows events.
///
/// # Errors
/// Nothing is guarded, or this user may not read the events.
pub(super) fn run(options: &Events) -> Result<(), Fault> {
    until_closed(if options.follow { follow(options) } else { recent(options) }).environment()
}

fn recent(options: &Events) -> Result<()> {
    let events = match ask(&options.drawing.places, &Request::Recent)? {
        Some(Answer::Recent(events)) => events,
        Some(_) => bail!("the ntpguard that draws events is of another version: restart one of the two"),
        None => bail!("no `ntpguard run` remembers events: see those to come with --follow"),
    };
    let wanted: Vec<_> =
        events.iter().filter(|event| event_filter::all(&options.drawing.filter, event)).collect();
    let most = options.count.and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX);
    wanted[wanted.len().saturating_sub(most)..].iter().try_for_each(|event| show(options, event))
}

fn follow(options: &Events) -> Result<()> {
    let stop = stop()?;
    let drawing = &options.drawing;
    let mut follower = Follower::start(&drawing.places, Request::Events { snaplen: 0 }, drawing.event_rate)?;
    tell(format_args!(
        "following{}",
        if follower.is_alone() { ", and drawing the events here, since no `ntpguard run` does" } else { "" }
    ));
    let mut left = options.count.unwrap_or(u64::MAX);
    while !stop.load(Ordering::Relaxed) {
        for event in follower.take(LOOK)?.iter().filter(|event| event_filter::all(&drawing.filter, event)) {
            show(options, event)?;
            left -= 1;
            if left == 0 {
                return Ok(());
            }
        }
    }
    if follower.lost() > 0 {
        tell(format_args!("{} events were lost: they came faster than they were read", follower.lost()));
    }
    Ok(())
}

fn show(options: &Events, event: &Event) -> Result<()> {
    let mut out = options.format.stdout();
    writeln!(out, "{}", line(event, options.format))?;
    Ok(out.flush()?)
}

/// A flag that becomes true at SIGINT or SIGTERM.
pub(super) fn stop() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}
