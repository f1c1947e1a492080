//! One who follows the hub, and is it where nobody else is.

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

/// How long a hub that ends may take until another one is there, and one that is there to answer.
const HUB_TIMEOUT: Duration = Duration::from_secs(5);
/// How long between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// Follows events.
pub struct Follower {
    places: Places,
    request: Request,
    rate: u32,
    line: Line,
    /// Events that came while another answer was waited for.
    early: Vec<Event>,
    lost: u64,
    hub: Option<Hub>,
}

impl Follower {
    /// Begins to follow; what comes from then on is told. Where nobody draws events, this does, so many a second at most.
    ///
    /// # Errors
    /// Nothing is guarded, or this user may not look: in words that say what to do.
    pub fn start(places: &Places, request: Request, rate: u32) -> Result<Self> {
        let (line, hub) = connect(places, rate)?;
        let places = places.clone();
        let mut follower = Self { places, request, rate, line, early: Vec::new(), lost: 0, hub };
        follower.begin()?;
        Ok(follower)
    }

    /// What has come; if nothing has, what comes within `wait`. Nothing means that nothing has.
    ///
    /// # Errors
    /// Nobody draws events any more.
    pub fn take(&mut self, wait: Duration) -> Result<Vec<Event>> {
        let mut events = mem::take(&mut self.early);
        if events.is_empty() && !self.line.wait(wait)? {
            return Ok(events);
        }
        while self.line.wait(Duration::ZERO)? {
            if !self.line.read()? {
                // Somebody else takes its turn, or this.
                self.begin_again()?;
                break;
            }
        }
        while let Some(answer) = self.line.next()? {
            match answer {
                Answer::Event(event) => events.push(event),
                Answer::Lost(lost) => self.lost += lost,
                Answer::Refused(why) => bail!(why),
                // Answers to what wasn't asked.
                _ => (),
            }
        }
        Ok(events)
    }

    /// Events that were told too fast for this follower.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether this process draws the events itself, since no `ntpguard run` does.
    pub fn is_alone(&self) -> bool {
        self.hub.is_some()
    }

    /// Asks, and waits until it is heard.
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
                // What is left of the line before isn't whole.
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

/// Asks one thing of the hub; `None` where there is none.
///
/// # Errors
/// It can't be reached, or refuses.
pub fn ask(places: &Places, request: &Request) -> Result<Option<Answer>> {
    let Some(mut line) = Line::open(&socket(&places.state_dir))? else { return Ok(None) };
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

/// A way to the hub, which is this process if there is no other.
fn connect(places: &Places, rate: u32) -> Result<(Line, Option<Hub>)> {
    let path = socket(&places.state_dir);
    let start = Instant::now();
    loop {
        if let Some(line) = Line::open(&path)? {
            return Ok((line, None));
        }
        Pins::seen(&places.pin_path)?.with_context(|| nothing(&places.pin_path))?;
        // Whoever was let in by the options stays so.
        let state = Summary::load(&places.state_dir).ok().flatten();
        let readers = Readers { group: state.and_then(|state| state.group) };
        let hub = Hub::start(places, rate, &readers, &mut None).context(
            "no `ntpguard run` draws events, and this process can't: run as root, or start `ntpguard run`",
        )?;
        if let Some(hub) = hub {
            let line = Line::open(&path)?.context("nobody listens at the socket")?;
            return Ok((line, Some(hub)));
        }
        // One that begins, or ends.
        if start.elapsed() > HUB_TIMEOUT {
            bail!("another ntpguard draws events, and doesn't listen at {}", path.display());
        }
        sleep(PAUSE);
    }
}

/// A socket, line by line.
struct Line {
    stream: UnixStream,
    /// What has come, and wasn't taken.
    bytes: Vec<u8>,
    taken: usize,
}

impl Line {
    /// `None` if nobody listens.
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
        // A request has room in any socket's buffer. One who has hung up already may have said why.
        match self.stream.write_all(&line) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            said => said.context("can't ask"),
        }
    }

    /// Whether something can be read, or comes within that time; also the end.
    fn wait(&self, wait: Duration) -> Result<bool> {
        let mut readable = [PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)];
        let wait = PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX);
        match poll(&mut readable, wait) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::EINTR) => Ok(false),
            Err(errno) => Err(errno).context("can't wait for events"),
        }
    }

    /// Reads what is there; `false` at the end.
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

    /// The next whole line.
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
