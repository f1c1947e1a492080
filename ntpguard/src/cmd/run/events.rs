//! The events of `ntpguard run`: sampled from the start on, or as soon as another process that samples them ends.

use crate::{
    cli::Run,
    guard::{Service, options::Places},
    host::{
        access::Readers,
        log::{tell, warn},
    },
    observe::feed::{Hub, Losses, Unbound},
};

/// The hub, if this process samples events.
pub(super) struct Feed {
    /// What the hub needs; `None` if events aren't wanted or can't be sampled.
    wanted: Option<(Places, u32, Readers)>,
    /// The socket on which the hub will listen.
    socket: Option<Unbound>,
    hub: Option<Hub>,
    said: bool,
}

impl Feed {
    /// Begins to sample events, except for an ephemeral filter, which has no place where other processes could find them.
    pub(super) fn new(options: &Run, service: &Service, socket: Unbound) -> Self {
        let places = options.places.clone().filter(|_| options.event_rate > 0);
        let wanted = places.map(|places| (places, options.event_rate, service.readers()));
        let mut feed = Self { wanted, socket: Some(socket), hub: None, said: false };
        feed.begin();
        feed
    }

    /// Tries again to start the hub, if it hasn't started yet.
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

    /// How many events were sent and how many were lost, if this process samples them.
    pub(super) fn losses(&self) -> Option<&Losses> {
        self.hub.as_ref().map(Hub::losses)
    }
}
