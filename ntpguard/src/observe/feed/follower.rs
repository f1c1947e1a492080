//! A follower of the hub, which runs the hub itself if no other process does.

use super::{Answer, Hub, Request, socket};
use crate::{
    bpf::Pins,
    guard::{instance::nothing, options::Places, state::Summary},
    host::access::Readers,
    observe::event::Event,
};
use anyhow::{Context as _, Result, bail};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use std::{
    io::{ErrorKind, Read as _, Write as _},
    mem,
    os::{fd::AsFd as _, unix::net::UnixStream},
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

/// Timeout for a successor hub to appear, and for any reply.
const HUB_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// A follower of events.
pub struct Follower {
    places: Places,
    request: Request,
    rate: u32,
    line: LineStream,
    /// Events that arrived while another answer was awaited.
    early: Vec<Event>,
    lost: u64,
    hub: Option<Hub>,
}

impl Follower {
    /// Begins to follow the events from now on. If no other process runs a hub, this process does, with at most `rate`
    /// events a second.
    ///
    /// # Errors
    /// Nothing is guarded, or this user lacks the right; the message says what to do.
    pub fn start(places: &Places, request: Request, rate: u32) -> Result<Self> {
        let (line, hub) = connect(places, rate)?;
        let places = places.clone();
        let mut follower = Self { places, request, rate, line, early: Vec::new(), lost: 0, hub };
        follower.begin()?;
        Ok(follower)
    }

    /// The events that have arrived, or else those that arrive within `wait`; empty if there are none.
    ///
    /// # Errors
    /// No process runs a hub any more.
    pub fn take(&mut self, wait: Duration) -> Result<Vec<Event>> {
        let mut events = mem::take(&mut self.early);
        if events.is_empty() && !self.line.wait(wait)? {
            return Ok(events);
        }
        while self.line.wait(Duration::ZERO)? {
            if !self.line.read()? {
                // Another process takes over as the hub, or this one does.
                self.begin_again()?;
                break;
            }
        }
        while let Some(answer) = self.line.next()? {
            match answer {
                Answer::Event(event) => events.push(event),
                Answer::Lost(lost) => self.lost += lost,
                Answer::Refused(why) => bail!(why),
                // Answers that weren't asked for are ignored.
                _ => (),
            }
        }
        Ok(events)
    }

    /// How many events were lost because this follower was too slow.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether this process runs the hub, because no `ntpguard run` does.
    pub fn is_alone(&self) -> bool {
        self.hub.is_some()
    }

    /// Sends the request, and waits until the hub confirms it.
    fn begin(&mut self) -> Result<()> {
        self.line.say(&self.request)?;
        let start = Instant::now();
        while start.elapsed() < HUB_TIMEOUT {
            while let Some(answer) = self.line.next()? {
                match answer {
                    Answer::Refused(why) => bail!(why),
                    Answer::Event(event) => self.early.push(event),
                    _ => return Ok(()),
                }
            }
            if self.line.wait(PAUSE)? && !self.line.read()? {
                bail!("whoever draws the events has hung up");
            }
        }
        bail!("whoever draws the events doesn't answer: is it stopped?")
    }

    fn begin_again(&mut self) -> Result<()> {
        let start = Instant::now();
        loop {
            self.hub = None;
            let begun = connect(&self.places, self.rate).and_then(|(line, hub)| {
                // An incomplete line of the earlier connection is discarded.
                (self.line, self.hub) = (line, hub);
                self.begin()
            });
            match begun {
                Ok(()) => return Ok(()),
                Err(error) if start.elapsed() > HUB_TIMEOUT => {
                    return Err(error.context("the process that drew the events has ended"));
                }
                Err(_) => sleep(PAUSE),
            }
        }
    }
}

/// Sends a single request to the hub; `None` if there is no hub.
///
/// # Errors
/// The hub can't be reached, or refuses.
pub fn ask(places: &Places, request: &Request) -> Result<Option<Answer>> {
    let Some(mut line) = LineStream::open(&socket(&places.state_dir))? else { return Ok(None) };
    line.say(request)?;
    let start = Instant::now();
    while start.elapsed() < HUB_TIMEOUT {
        match line.next()? {
            Some(Answer::Refused(why)) => bail!(why),
            Some(answer) => return Ok(Some(answer)),
            None if line.wait(PAUSE)? && !line.read()? => bail!("whoever draws the events has hung up"),
            None => (),
        }
    }
    bail!("whoever draws the events doesn't answer: is it stopped?")
}

/// Connects to the hub; if there is none, starts one in this process.
fn connect(places: &Places, rate: u32) -> Result<(LineStream, Option<Hub>)> {
    let path = socket(&places.state_dir);
    let start = Instant::now();
    loop {
        if let Some(line) = LineStream::open(&path)? {
            return Ok((line, None));
        }
        Pins::seen(&places.pin_path)?.with_context(|| nothing(&places.pin_path))?;
        // The group that the guard's options gave access keeps it.
        let state = Summary::load(&places.state_dir).ok().flatten();
        let readers = Readers { group: state.and_then(|state| state.group) };
        let hub = Hub::start(places, rate, &readers, &mut None).context(
            "no `ntpguard run` draws events, and this process can't: run as root, or start `ntpguard run`",
        )?;
        if let Some(hub) = hub {
            let line = LineStream::open(&path)?.context("nobody listens at the socket")?;
            return Ok((line, Some(hub)));
        }
        // Another hub is just starting or ending.
        if start.elapsed() > HUB_TIMEOUT {
            bail!("another ntpguard draws events, and doesn't listen at {}", path.display());
        }
        sleep(PAUSE);
    }
}

/// A socket that is read line by line.
struct LineStream {
    stream: UnixStream,
    /// Received bytes; those before `taken` have been used.
    bytes: Vec<u8>,
    taken: usize,
}

impl LineStream {
    /// Connects; `None` if no process listens.
    fn open(path: &Path) -> Result<Option<Self>> {
        let stream = match UnixStream::connect(path) {
            Ok(stream) => stream,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
                return Ok(None);
            }
            Err(error) => return Err(error).with_context(|| format!("can't reach {}", path.display())),
        };
        stream.set_nonblocking(true)?;
        Ok(Some(Self { stream, bytes: Vec::new(), taken: 0 }))
    }

    fn say(&mut self, request: &Request) -> Result<()> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        // A request fits into any socket buffer. A hub that has hung up already may have sent the reason, which is still to
        // be read.
        match self.stream.write_all(&line) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            said => said.context("can't ask"),
        }
    }

    /// Whether there is something to read, or the end of the stream, now or within this time.
    fn wait(&self, wait: Duration) -> Result<bool> {
        let mut readable = [PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)];
        let wait = PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX);
        match poll(&mut readable, wait) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::EINTR) => Ok(false),
            Err(errno) => Err(errno).context("can't wait for events"),
        }
    }

    /// Reads what is available; `false` at the end of the stream.
    fn read(&mut self) -> Result<bool> {
        self.bytes.drain(..mem::take(&mut self.taken));
        let mut bytes = [0; 1 << 14];
        match self.stream.read(&mut bytes) {
            Ok(0) => Ok(false),
            Ok(length) => {
                self.bytes.extend_from_slice(&bytes[..length]);
                Ok(true)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(true),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(false),
            Err(error) => Err(error).context("can't read events"),
        }
    }

    /// The next complete line.
    fn next(&mut self) -> Result<Option<Answer>> {
        let rest = &self.bytes[self.taken..];
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        let answer = serde_json::from_slice(&rest[..end]);
        self.taken += end + 1;
        Ok(Some(
            answer.context("the ntpguard that draws events is of another version: restart one of the two")?,
        ))
    }
}
