//! The running service: the attached filter, the loaded policy and the persisted state.

mod attach;
mod card;
mod epoch;
pub mod instance;
mod interfaces;
mod learning;
pub mod loaded_policy;
pub mod options;
pub mod reloads;
mod restore;
pub mod state;
pub mod trial;

pub use interfaces::{fit, object};
pub use restore::restore;

use crate::{
    bpf::{Guard, Learner, Maps, Object, Size},
    compile::Counters,
    conf::ntp,
    guard::{
        instance::Instance,
        loaded_policy::LoadedPolicy,
        options::Guarding,
        reloads::Reloads,
        state::{Change, InForce, State},
    },
    host::{
        access::Readers,
        addresses,
        fault::{Blame as _, Fault},
        file_changes::Fingerprint,
        log::{tell, warn},
        memory, sandbox,
    },
    policy::resolve::{Answers, Moved, Names},
};
use epoch::Epoch;
use ntpguard_common::abi::PolicyWord;
use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    path::absolute,
    time::{Duration, Instant},
};

/// Bytes of memory that a policy takes for each byte of its files, measured with 200,000 short lines.
const MEMORY: u64 = 13;
/// A need for memory up to this size isn't checked.
const UNASKED: u64 = 64 << 20;

/// The filter with its policy and state.
pub struct Service {
    /// Where the filter is pinned; `None` if it ends with this process.
    instance: Option<Instance>,
    /// The loaded programs and maps.
    pub guard: Guard,
    /// The policy that is in force, or is to be.
    pub loaded: LoadedPolicy,
    state: State,
    names: Names,
    own: Vec<IpAddr>,
    reloads: Reloads,
    /// The policy's files as of the last reading; `look` has them as of the last check for changes.
    fingerprint: Fingerprint,
    look: Fingerprint,
    /// The interfaces that were asked for; [`Guarding::interface`] also has those that were guarded before.
    named: Vec<String>,
    /// The MTU at the last check, by interface index.
    mtus: HashMap<u32, u32>,
    /// How the daemon's associations are learnt, if they are.
    learner: Option<Learner>,
    epoch: Option<Epoch>,
}

impl Service {
    /// Reads the policy and loads the filter. Nothing is attached or in force yet.
    ///
    /// # Errors
    /// The configuration can't be read, or the kernel refuses the programs or maps.
    pub fn start(mut options: Guarding, object: Object, instance: Option<Instance>) -> Result<Self, Fault> {
        let readers = Readers::find(options.group.as_deref()).environment()?;
        // `ntpguard reload` may run in another working directory.
        options.config = options.config.map(absolute).transpose().environment()?;
        if let Some(instance) = &instance {
            options.monitor = instance.is_trial().unwrap_or(options.monitor);
        }
        let known = instance.as_ref().map(Instance::state).transpose().unwrap_or_else(|error| {
            warn(format_args!(
                "{error:#}: it is written anew, without the lines that earlier hits belong to and what attaching has changed of \
                 network cards"
            ));
            None
        });
        let known = known.flatten();
        if let (Some(instance), Some(state)) = (&instance, &known) {
            instance.is_own(state).and_then(|()| instance.is_here(state.namespace)).environment()?;
        }
        if let Some(instance) = &instance {
            forget_gone(instance);
        }
        let mut seen = HashSet::new();
        options.interface.retain(|interface| seen.insert(interface.clone()));
        let named = options.interface.clone();
        interfaces::join(&mut options.interface, instance.as_ref()).environment()?;
        let mut names = Names::with(known.as_ref().map(|state| state.names.clone()).unwrap_or_default());
        let own = addresses::addresses().environment()?;
        let mut fingerprint = Fingerprint::default();
        let loaded =
            LoadedPolicy::read(&options, &mut names, &own, &mut fingerprint).inspect_err(|fault| {
                if let (Some(instance), Some(mut state)) =
                    (&instance, instance.as_ref().and_then(|instance| instance.state().ok()?))
                {
                    state.fail(fault.to_string());
                    // If this fails as well, the failure is reported only by the error that is returned.
                    let _ = instance.save(&state);
                }
            })?;
        tell(format_args!("{}", loaded.because));
        if !loaded.warnings.is_empty() {
            // Printed as one message, so that none is lost, however many there are.
            warn(format_args!("{}", loaded.warnings.join("\n")));
        }
        let size = Size::of(&loaded.image, options.limiting.sources);
        let guard = match &instance {
            Some(instance) => Guard::load_pinned(object, size, instance.pins.clone()),
            None => Guard::load(object, size),
        };
        let guard = guard.environment()?;
        if let Some(instance) = &instance
            && !instance.pins.links().environment()?.is_empty()
            && guard.maps.word().environment()?.generation == 0
        {
            tell(format_args!(
                "what is pinned is another version's, and will be replaced; counting starts anew"
            ));
        }
        let mut state = known.unwrap_or_else(|| State::new(options.clone()));
        (state.options, state.group) = (options, readers.group);
        // Changes to the cards of an interface that has no hold any more are dropped.
        let held = instance
            .as_ref()
            .map(|instance| instance.pins.links())
            .transpose()
            .environment()?
            .unwrap_or_default();
        state.cards.retain(|_, card| held.contains(&card.guarded));
        let look = fingerprint.clone();
        let reloads = Reloads::new();
        Ok(Self {
            instance,
            guard,
            loaded,
            state,
            names,
            own,
            reloads,
            fingerprint,
            look,
            named,
            mtus: HashMap::new(),
            learner: None,
            epoch: None,
        })
    }

    /// The policy in force.
    pub fn policy(&self) -> Option<&InForce> {
        self.state.policy.as_ref()
    }

    /// Reads the policy again and puts it in force.
    ///
    /// # Errors
    /// Those of [`Service::start`].
    pub fn reload(&mut self) -> Result<(Change, Duration), Fault> {
        let start = Instant::now();
        // The trial is followed even if the file can't be read.
        self.follow_trial();
        let attempt = self.read().map(|change| (change, start.elapsed())).map_err(sandbox::blame);
        self.state.attempts += 1;
        self.reloads.count(attempt.is_ok());
        if let Err(fault) = &attempt {
            self.state.fail(fault.to_string());
        }
        self.keep();
        attempt
    }

    fn read(&mut self) -> Result<Change, Fault> {
        let own = addresses::addresses().environment()?;
        self.fingerprint = self.loaded.conf.sought.again();
        fits(&self.fingerprint).environment()?;
        let (mut names, mut sought) = (Names::with(self.names.good()), Fingerprint::default());
        let read = LoadedPolicy::read(&self.state.options, &mut names, &own, &mut sought);
        // If reading fails, a later change triggers a retry: also one to a file that only the new text includes.
        self.fingerprint.join(sought);
        let mut loaded = read?;
        loaded.warnings.extend(sandbox::warning(&loaded.conf.sought));
        if let (None, Some(template)) = (self.loaded.image.template, loaded.image.template) {
            self.begin_learning(template, false).environment()?;
        }
        let change = put(&mut self.guard.maps, &mut self.state, &loaded).environment()?;
        if !loaded.warnings.is_empty() && loaded.warnings != self.loaded.warnings {
            warn(format_args!("{}", loaded.warnings.join("\n")));
        }
        self.fingerprint = loaded.conf.sought.clone();
        (self.loaded, self.names, self.own) = (loaded, names, own);
        Ok(change)
    }

    /// Whether the filter should be on trial now.
    fn is_trial(&self) -> bool {
        let said = self.instance.as_ref().and_then(Instance::is_trial);
        // Nothing was said if `enforce` or `monitor` couldn't save it (no state folder): then the policy word in force
        // decides.
        let in_force = || self.guard.maps.word().ok().filter(|settings| settings.generation > 0);
        let otherwise = || in_force().map_or(self.state.options.monitor, |now| now.has(PolicyWord::TRIAL));
        said.unwrap_or_else(otherwise)
    }

    /// Begins or ends a trial if `ntpguard enforce` or `monitor` said so, or the time set by `enforce` is over.
    pub fn follow_trial(&mut self) {
        let trial = self.is_trial();
        if trial == self.state.options.monitor {
            return;
        }
        match self.guard.maps.set_trial(trial) {
            Ok(()) => {
                self.state.options.monitor = trial;
                // Policies compiled from now on get the same value.
                self.loaded.image.set_trial(trial);
                self.keep();
                tell(format_args!("{}", trial::words(trial)));
            }
            Err(error) => warn(format_args!("{error:#}; tried again")),
        }
    }

    /// Whether a file has changed since it was read, but not since the last check: a file that is still being written waits.
    pub fn is_outdated(&mut self) -> bool {
        let now = self.fingerprint.again();
        let before = std::mem::replace(&mut self.look, now);
        self.look != self.fingerprint && self.look == before
    }

    /// The names to look up again.
    pub fn names(&self) -> Vec<String> {
        self.names.asked()
    }

    /// Records new answers to names, and puts a policy with them in force if any has changed.
    ///
    /// # Errors
    /// The kernel refuses; the previous policy stays in force.
    pub fn learn(&mut self, answers: Answers) -> anyhow::Result<Option<(Vec<Moved>, Change)>> {
        let moved = self.names.learn(answers);
        if moved.is_empty() {
            return Ok(None);
        }
        self.loaded.compile(&self.state.options, &self.names, &self.own);
        let change = self.put()?;
        self.keep();
        Ok(Some((moved, change)))
    }

    /// Puts the loaded policy in force, with room for its counters.
    fn put(&mut self) -> anyhow::Result<Change> {
        put(&mut self.guard.maps, &mut self.state, &self.loaded)
    }

    /// Puts a policy in force that has this host's present addresses. Rules and their counters stay the same, because own
    /// addresses have no rules. If the addresses have changed, returns how many there were and how many there are.
    ///
    /// # Errors
    /// The kernel refuses; the previous policy stays in force.
    pub fn follow_addresses(&mut self) -> anyhow::Result<Option<(usize, usize)>> {
        let now = addresses::addresses()?;
        if now == self.own {
            return Ok(None);
        }
        self.loaded.compile(&self.state.options, &self.names, &now);
        self.put()?;
        self.keep();
        let before = std::mem::replace(&mut self.own, now);
        Ok(Some((before.len(), self.own.len())))
    }

    /// The results of reading the policy again.
    pub fn reloads(&self) -> Reloads {
        self.reloads
    }

    /// The generation of the policy in force.
    pub fn generation(&self) -> u32 {
        self.state.policy.as_ref().map_or(0, |policy| policy.generation)
    }

    /// The options of this guard.
    pub fn options(&self) -> &Guarding {
        &self.state.options
    }

    /// Records in the state that no process looks after the filter any more.
    pub fn leave(mut self) {
        self.state.run = None;
        self.keep();
    }

    /// Removes the holds on interfaces that no longer exist.
    pub fn forget_gone(&self) {
        self.instance.iter().for_each(forget_gone);
    }

    /// The group that may read counters and state.
    pub fn readers(&self) -> Readers {
        Readers { group: self.state.group }
    }

    /// Whether the filter stays when this process ends.
    pub fn stays(&self) -> bool {
        self.instance.is_some()
    }

    fn keep(&mut self) {
        self.state.names = self.names.good();
        if let Some(instance) = &self.instance
            && let Err(error) = instance.save(&self.state)
        {
            let error = sandbox::blame(Fault::Environment(error));
            warn(format_args!(
                "{error}; guarding goes on, and after the next start nobody knows which lines the hits so far belong to"
            ));
        }
    }
}

/// Removes the holds on interfaces that no longer exist. One that can't be removed does no harm.
fn forget_gone(instance: &Instance) {
    if let Err(error) = instance.pins.forget_gone() {
        warn(format_args!("{error:#}; guarding goes on"));
    }
}

/// Makes sure that there is memory for a policy made of these files, beside the one in force. Otherwise the kernel's OOM
/// killer would end this process or another one.
///
/// # Errors
/// There isn't, as far as the kernel reports it.
fn fits(files: &Fingerprint) -> anyhow::Result<()> {
    let size = files.size();
    // Larger files aren't read; the reader reports that.
    let needed = if size > ntp::MOST { 0 } else { size * MEMORY };
    let Some(free) = memory::available().filter(|_| needed > UNASKED) else { return Ok(()) };
    anyhow::ensure!(
        needed <= free,
        "a policy of {} MiB of files takes about {} MiB of memory, and {} are to be had: give this process more \
         (systemd's MemoryMax=), or the file fewer lines",
        size >> 20,
        needed >> 20,
        free >> 20
    );
    Ok(())
}

/// Puts a loaded policy in force, and records it in the state.
///
/// # Errors
/// The kernel refuses; the previous policy stays in force.
fn put(maps: &mut Maps, state: &mut State, loaded: &LoadedPolicy) -> anyhow::Result<Change> {
    let before = maps.word()?.generation;
    let rules = state::rules(loaded);
    let known = state.known(before);
    if let Some(known) = known {
        maps.know(Counters::new(known.flags.iter().copied()));
    }
    let (were, carried) = (known.map_or(0, |known| known.rules.len()), state.carried(&rules, before));
    let generation = maps.install(&loaded.image, &carried)?;
    let kept = carried.iter().flatten().count();
    state.put(loaded, rules, &carried, generation);
    Ok(Change { generation, added: carried.len() - kept, removed: were - kept, rules: carried.len() })
}
