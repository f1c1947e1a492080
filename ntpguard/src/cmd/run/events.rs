//! The events of `ntpguard run`: drawn from the start on, or as soon as the process ends that draws them.

use crate::{
    cli::Run,
    guard::{Service, options::Places},
    host::{
        access::Readers,
        log::{tell, warn},
    },
    observe::feed::{Hub, Losses, Unbound},
};

/// The hub, if events are drawn.
pub(super) struct Feed {
    /// What it needs; nothing where events aren't wanted, or can't be.
    wanted: Option<(Places, u32, Readers)>,
    /// What it will listen with.
    socket: Option<Unbound>,
    hub: Option<Hub>,
    said: bool,
}

impl Feed {
    /// Begins to draw them. A filter that goes with this process has no place where others could find it.
    pub(super) fn new(options: &Run, service: &Service, socket: Unbound) -> Self {
        let places = options.places.clone().filter(|_| options.event_rate > 0);
        let wanted = places.map(|places| (places, options.event_rate, service.readers()));
        let mut feed = Self { wanted, socket: Some(socket), hub: None, said: false };
        feed.begin();
        feed
    }

    /// Tries again, if it couldn't before.
    pub(super) fn begin(&mut self) {
        let Some((places, rate, readers)) = self.wanted.as_ref().filter(|_| self.hub.is_none()) else {
            return;
        };
        match Hub::start(places, *rate, readers, &mut self.socket) {
            Ok(None) if self.said => (),
            Ok(None) => {
                tell(format_args!("another ntpguard draws events; as soon as it ends, this one does"));
                self.said = true;
            }
            Ok(hub) => self.hub = hub,
            Err(error) => {
                warn(format_args!("there are no events: {error:#}; guarding goes on"));
                self.wanted = None;
            }
        }
    }

    /// What became of the events.
    pub(super) fn losses(&self) -> Option<&Losses> {
        self.hub.as_ref().map(Hub::losses)
    }
}
