//! `ntpguard capture`: writes the dropped packets themselves, each with the reason as its comment.

use super::events::stop;
use crate::{
    capture::Writer,
    cli::Capture,
    host::{
        fault::{Blame as _, Fault},
        log::tell,
    },
    observe::{
        event::Event,
        event_filter,
        feed::{Follower, Request},
    },
};
use anyhow::{Context as _, Result};
use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
    sync::atomic::Ordering,
    time::Duration,
};

/// How long to wait for packets before signals are checked again and the packets so far are written out.
const LOOK: Duration = Duration::from_millis(200);

/// Writes packets until one of the limits is reached or a signal arrives.
///
/// # Errors
/// Nothing is guarded, this user may not read the events, or the file can't be written.
pub(super) fn run(options: &Capture) -> Result<(), Fault> {
    capture(options).environment()
}

fn capture(options: &Capture) -> Result<()> {
    let Capture { file, count, snaplen, max_size, drawing } = options;
    let stop = stop()?;
    let mut follower =
        Follower::start(&drawing.places, Request::Events { snaplen: *snaplen }, drawing.event_rate)?;
    // Opened last: this truncates the file, so everything else must have succeeded.
    let mut writer = Writer::new(BufWriter::new(open(file)?), *snaplen).with_context(|| unwritten(file))?;
    tell(format_args!(
        "capturing to {}{}",
        file.display(),
        if follower.is_alone() { ", and drawing the events here, since no `ntpguard run` does" } else { "" }
    ));
    let (mut packets, mut stands_for) = (0_u64, 0_u64);
    let ended = 'all: loop {
        if stop.load(Ordering::Relaxed) {
            break "a signal";
        }
        for event in follower.take(LOOK)?.iter().filter(|event| event_filter::all(&drawing.filter, event)) {
            let Some(frame) = frame(event) else { continue };
            if *max_size > 0 && writer.written() + writer.size(event, &frame) > max_size << 20 {
                break 'all "--max-size";
            }
            writer.write(event, &frame).with_context(|| unwritten(file))?;
            packets += 1;
            stands_for += u64::from(event.scale);
            if packets == *count {
                break 'all "--count";
            }
        }
        writer.flush().with_context(|| unwritten(file))?;
    };
    writer.flush().with_context(|| unwritten(file))?;
    let bytes = writer.written();
    let lost = match follower.lost() {
        0 => String::new(),
        lost => format!("; {lost} more came faster than they could be written"),
    };
    tell(format_args!(
        "{packets} packets, which stand for {stands_for}, in {bytes} bytes, until {ended}{lost}"
    ));
    Ok(())
}

fn open(file: &Path) -> Result<Box<dyn Write>> {
    if file == Path::new("-") {
        return Ok(Box::new(io::stdout()));
    }
    Ok(Box::new(File::create(file).with_context(|| unwritten(file))?))
}

fn unwritten(file: &Path) -> String {
    format!("can't write {}", file.display())
}

/// The bytes of the event's frame; `None` if the event has none, as when it was sampled before this process asked for frames.
fn frame(event: &Event) -> Option<Vec<u8>> {
    let digits = event.frame.as_ref().filter(|digits| !digits.is_empty())?;
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.as_bytes().chunks(2).map(byte).collect()
}
