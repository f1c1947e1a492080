//! A guard, what it goes by, and what is known about it, while a process looks after them.

use crate::{
    bpf::{Attached, Guard, Maps, Object, Size},
    cli::Guarding,
    compile::Counters,
    fault::{Blame as _, Fault},
    home::Home,
    own,
    resolve::Names,
    ruling::Ruling,
    state::{self, Change, State},
    writer::tell,
};
use std::{collections::HashSet, net::IpAddr, path::absolute};

/// All of it.
pub struct Service {
    /// Where the filter stays; `None` if it goes with this process.
    home: Option<Home>,
    /// The filter.
    pub guard: Guard,
    /// What is in force.
    pub ruling: Ruling,
    state: State,
    names: Names,
    own: Vec<IpAddr>,
}

impl Service {
    /// Reads the policy, loads the filter and puts the one in force in the other. Nothing is attached yet.
    ///
    /// # Errors
    /// The configuration can't be read, or the kernel refuses; what was in force stays.
    pub fn start(mut options: Guarding, object: Object, home: Option<Home>) -> Result<Self, Fault> {
        // Whoever reloads may stand in another folder.
        options.config = options.config.map(absolute).transpose().environment()?;
        let mut seen = HashSet::new();
        options.interface.retain(|interface| seen.insert(interface.clone()));
        let (names, own) = (Names::default(), own::addresses().environment()?);
        let ruling = Ruling::read(&options, &names, &own)?;
        tell(format_args!("{}", ruling.because));
        if !ruling.warnings.is_empty() {
            // In one piece: none may be lost, however many there are.
            tell(format_args!("{}", ruling.warnings.join("\n")));
        }
        let size = Size::of(&ruling.image, options.limiting.sources);
        let guard = match &home {
            Some(home) => Guard::load_pinned(object, size, home.pins.clone()),
            None => Guard::load(object, size),
        };
        let mut guard = guard.environment()?;
        if let Some(home) = &home
            && !home.pins.links().environment()?.is_empty()
            && guard.maps.settings().environment()?.generation == 0
        {
            tell(format_args!(
                "what is pinned is another version's, and will be replaced; counting starts anew"
            ));
        }
        let known = home.as_ref().map(Home::state).transpose().unwrap_or_else(|error| {
            tell(format_args!("{error:#}; which lines earlier hits belong to is lost"));
            None
        });
        let mut state = known.flatten().unwrap_or_else(|| State::new(options.clone()));
        state.options = options;
        let change = put(&mut guard.maps, &mut state, &ruling).environment()?;
        tell(format_args!("{change}"));
        Ok(Self { home, guard, ruling, state, names, own })
    }

    /// Attaches to all interfaces, or to none, and from then on the filter stays.
    ///
    /// # Errors
    /// One can't be attached to.
    pub fn attach(&mut self, run: Option<i32>) -> Result<Vec<(String, Attached)>, Fault> {
        let mut attached = Vec::new();
        for interface in &self.state.options.interface {
            match self.guard.attach(interface, self.state.options.xdp_mode) {
                Ok(how) => attached.push((interface.clone(), how)),
                Err(error) => {
                    self.guard
                        .release(attached.iter().filter(|(_, how)| !how.taken_over).map(|(name, _)| name));
                    return Err(Fault::Environment(error));
                }
            }
        }
        // Those that were guarded before and aren't named now: they stay, and get the same program.
        self.guard.take_over_others(&self.state.options.interface).environment()?;
        self.guard.settle().environment()?;
        self.state.run = run;
        self.keep();
        Ok(attached)
    }

    /// Reads the policy again and puts it in force.
    ///
    /// # Errors
    /// As [`Service::start`].
    pub fn reload(&mut self) -> Result<Change, Fault> {
        let attempt = self.read();
        self.state.attempts += 1;
        if let Err(fault) = &attempt {
            self.state.fail(fault.to_string());
        }
        self.keep();
        attempt
    }

    fn read(&mut self) -> Result<Change, Fault> {
        let own = own::addresses().environment()?;
        self.names = Names::default();
        let ruling = Ruling::read(&self.state.options, &self.names, &own)?;
        let change = put(&mut self.guard.maps, &mut self.state, &ruling).environment()?;
        if !ruling.warnings.is_empty() && ruling.warnings != self.ruling.warnings {
            tell(format_args!("{}", ruling.warnings.join("\n")));
        }
        (self.ruling, self.own) = (ruling, own);
        Ok(change)
    }

    /// Puts a policy in force that knows this host's addresses as they are now. The rules, and so their counters, are the
    /// same; own addresses have none. Returns how many there were and are, if they are others.
    ///
    /// # Errors
    /// The kernel refuses; what was in force stays.
    pub fn follow_addresses(&mut self) -> anyhow::Result<Option<(usize, usize)>> {
        let now = own::addresses()?;
        if now == self.own {
            return Ok(None);
        }
        self.ruling.compile(&self.state.options, &self.names, &now);
        put(&mut self.guard.maps, &mut self.state, &self.ruling)?;
        self.keep();
        let before = std::mem::replace(&mut self.own, now);
        Ok(Some((before.len(), self.own.len())))
    }

    /// The options that it goes by.
    pub fn options(&self) -> &Guarding {
        &self.state.options
    }

    /// No process looks after it any more.
    pub fn leave(mut self) {
        self.state.run = None;
        self.keep();
    }

    /// Whether the filter stays when this process ends.
    pub fn stays(&self) -> bool {
        self.home.is_some()
    }

    fn keep(&self) {
        if let Some(home) = &self.home
            && let Err(error) = home.save(&self.state)
        {
            tell(format_args!(
                "{error:#}; guarding goes on, and after the next start nobody knows which lines the hits so far belong to"
            ));
        }
    }
}

/// Puts a ruling in force, and into the state.
///
/// # Errors
/// The kernel refuses; what was in force stays.
pub fn put(maps: &mut Maps, state: &mut State, ruling: &Ruling) -> anyhow::Result<Change> {
    let before = maps.settings()?.generation;
    let rules = state::rules(ruling);
    let known = state.known(before);
    if let Some(known) = known {
        maps.know(Counters::new(known.flags.iter().copied()));
    }
    let (were, carried) = (known.map_or(0, |known| known.rules.len()), state.carried(&rules, before));
    let generation = maps.install(&ruling.image, &carried)?;
    let kept = carried.iter().flatten().count();
    state.put(ruling, rules, generation);
    Ok(Change { generation, added: carried.len() - kept, removed: were - kept, rules: carried.len() })
}
