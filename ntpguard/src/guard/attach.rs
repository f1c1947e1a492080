//! Attaches the filter to interfaces.

use super::{Service, put, restore};
use crate::{
    bpf::{self, Attached, Held},
    guard::{
        instance::Instance,
        state::{Card, Rows},
        trial,
    },
    host::{
        access::Readers,
        fault::{Blame as _, Fault},
        features::{Altered, Features},
        interface::{self, Interface},
        log::{tell, warn},
        namespace,
    },
};
use anyhow::Result;
use std::collections::BTreeMap;

impl Service {
    /// Attaches to all interfaces, or to none, with the policy in force; the filter stays attached from then on. `run` is
    /// the process id of an `ntpguard run`.
    ///
    /// # Errors
    /// An interface can't be attached to, or the kernel refuses the policy.
    pub fn attach(&mut self, run: Option<i32>) -> Result<Vec<(String, Attached)>, Fault> {
        let mut attached = Vec::new();
        let done = self.attach_in_force(&mut attached, run.is_some());
        if let Err(error) = done {
            self.give_up(attached.iter().filter(|(_, how)| !how.was_guarded).map(|(name, _)| name));
            // Part of it may have come into force in spite of the error, so the state is saved.
            self.keep();
            return Err(Fault::Environment(error));
        }
        self.state.run = run;
        self.state.namespace = namespace::inode();
        self.state.pins = self.instance.as_ref().map(Instance::place);
        self.keep();
        Ok(attached)
    }

    /// Detaches from interfaces, and restores their cards' features as they were before attaching.
    pub fn give_up<'a>(&mut self, interfaces: impl Iterator<Item = &'a String> + Clone) {
        self.guard.release(interfaces.clone());
        let given: Vec<_> = interfaces.filter_map(|name| Some(interface::find(name).ok()?.index)).collect();
        restore(&self.state.cards.extract_if(.., |_, card| given.contains(&card.guarded)).collect());
    }

    /// A policy that is already in force stays until every interface is attached; if there is none, the first one is
    /// installed before attaching. With `stays`, spare programs are loaded as well, for drivers that may lose the filter.
    fn attach_in_force(&mut self, attached: &mut Vec<(String, Attached)>, stays: bool) -> Result<()> {
        let goes_on = self.guard.maps.goes_on()?;
        let knows = goes_on && self.guard.maps.template()?.is_some();
        if !goes_on {
            self.put_first()?;
        }
        if let Some(template) = self.loaded.image.template {
            self.begin_learning(template, knows)?;
        }
        for interface in self.named.clone() {
            let how = self.attach_to(&interface)?;
            attached.push((interface, how));
        }
        if goes_on {
            self.put_first()?;
        }
        // Interfaces that were guarded before and aren't named now stay guarded, by the same program.
        self.guard.take_over_others(&self.named, self.state.options.xdp_mode)?;
        if stays && let Err(error) = self.guarded().and_then(|all| self.guard.stand_by(&all, loses)) {
            warn(format_args!("if a driver loses the filter, nothing can put it back: {error:#}"));
        }
        self.settle()
    }

    /// The interfaces of the options that exist.
    fn guarded(&self) -> Result<Vec<Interface>> {
        let mut all = interface::all()?;
        all.retain(|interface| self.state.options.interface.contains(&interface.name));
        Ok(all)
    }

    /// The interfaces whose driver may lose the filter, each with the hold that puts it back.
    ///
    /// # Errors
    /// A hold (a pinned link) can't be opened.
    pub fn losable(&mut self) -> Result<Vec<(Interface, Held)>> {
        let mut losable = Vec::new();
        for interface in self.guarded()? {
            if loses(&interface) && interface.xdp.is_some_and(|xdp| xdp.native) && self.is_guarded(&interface)
            {
                let held = self.guard.held(&interface)?;
                losable.push((interface, held));
            }
        }
        Ok(losable)
    }

    /// Attaches in generic mode, for a driver that doesn't run the filter natively.
    ///
    /// # Errors
    /// The kernel refuses; what was attached stays, or the error says that nothing is attached.
    pub fn fall_back(&mut self, name: &str) -> Result<()> {
        let before = self.features(name);
        let done = self.guard.fall_back(name);
        self.note_features(before);
        self.keep();
        done
    }

    /// Replaces the program of an interface's hold by another instance, because the driver doesn't run the present one.
    ///
    /// # Errors
    /// Those of [`bpf::Guard::put_back`].
    pub fn put_back(&mut self, interface: &Interface) -> Result<()> {
        self.guard.put_back(interface)
    }

    /// Lets the next start take over from this program, and gives the group of readers access.
    fn settle(&mut self) -> Result<()> {
        self.guard.settle()?;
        let Some(instance) = &self.instance else { return Ok(()) };
        let readers = Readers { group: self.state.group };
        if let Err(error) = self.guard.admit(&readers).and_then(|()| instance.admit(&readers)) {
            warn(format_args!(
                "{error:#}; guarding goes on, and no group can look: it takes root, or a process of that group"
            ));
            self.state.group = None;
            return Ok(());
        }
        let folders = instance.folders().into_iter();
        for (folder, barrier) in folders.filter_map(|folder| Some((folder, readers.barrier(folder)?))) {
            let (folder, barrier) = (folder.display(), barrier.display());
            warn(format_args!(
                "the group can't get to {folder}: {barrier} is closed to it; `chmod o+x {barrier}`, or another place"
            ));
        }
        Ok(())
    }

    fn put_first(&mut self) -> Result<()> {
        let change = put(&mut self.guard.maps, &mut self.state, &self.loaded)?;
        tell(format_args!("{change}"));
        if self.state.options.monitor {
            tell(format_args!("{}", trial::words(true)));
        }
        Ok(())
    }

    /// Attaches to an interface, or replaces ntpguard's program there.
    ///
    /// # Errors
    /// Those of [`bpf::Guard::attach`].
    pub fn attach_to(&mut self, name: &str) -> Result<Attached> {
        if self.state.options.replace {
            self.guard.evict(name)?;
        }
        self.tell_beforehand(&interface::all()?, name);
        let before = self.features(name);
        let attached = self.guard.attach(name, self.state.options.xdp_mode)?;
        self.note_features(before);
        let all = interface::all()?;
        let Some(found) = all.iter().find(|interface| interface.name == name) else { return Ok(attached) };
        if let Some(advice) = interface::advice(&all, found).filter(|_| !attached.was_guarded) {
            tell(format_args!("{advice}"));
        }
        let there = self.state.register(name, found.index);
        if there.len() > 1 {
            tell(format_args!("{} are counted together", there.join(" and ")));
        }
        self.follow_members(&all);
        Ok(attached)
    }

    /// The features of an interface's cards (its own and its members'), and whether it is guarded already.
    fn features(&self, name: &str) -> (bool, Vec<(Interface, u32, Features)>) {
        let all = interface::all().unwrap_or_default();
        let Some(found) = all.iter().find(|interface| interface.name == name) else {
            return (false, Vec::new());
        };
        let cards = interface::members(&all, found).chain([found]);
        let known =
            cards.filter_map(|card| Some((card.clone(), found.index, Features::of(card.index).ok()?)));
        (matches!(self.guard.is_guarded(found), Ok(Some(true))), known.collect())
    }

    /// Records how attaching changed the features of these cards, so that detaching can restore them.
    fn note_features(&mut self, (is_guarded, cards): (bool, Vec<(Interface, u32, Features)>)) {
        for (card, guarded, before) in cards {
            let Ok(after) = Features::of(card.index) else { continue };
            match self.state.cards.get_mut(&card.index).filter(|_| is_guarded) {
                Some(known) => known.altered.again(&before, after),
                // An earlier attachment that wasn't recorded may have changed the features; what it changed is unknown.
                None if is_guarded => (),
                None => {
                    let altered = Altered::new(before, after);
                    self.state.cards.insert(card.index, Card { name: card.name, guarded, altered });
                }
            }
        }
    }

    /// Attaches to a bond the form of the program that fits its present members. Returns whether that is another form.
    ///
    /// # Errors
    /// The kernel refuses, or that form of the program isn't loaded.
    pub fn choose_again(&mut self, interface: &Interface) -> Result<bool> {
        if interface.kind.as_deref() == Some("bond") { self.guard.choose_again(interface) } else { Ok(false) }
    }

    /// Records the new name of an interface.
    pub fn rename(&mut self, index: u32, name: &str) {
        if let Some(card) = self.state.cards.get_mut(&index) {
            name.clone_into(&mut card.name);
            self.keep();
        }
    }

    /// How attaching changed the features of network cards, by interface index.
    pub fn cards(&self) -> &BTreeMap<u32, Card> {
        &self.state.cards
    }

    /// Counts packets that arrive through a member of a bond for that bond; members may come and go.
    pub fn follow_members(&mut self, all: &[Interface]) {
        self.follow_mtus(all);
        let interface = self.state.options.interface.clone();
        let guarded = all.iter().filter(|one| interface.contains(&one.name));
        for (bond, member) in
            guarded.flat_map(|bond| interface::members(all, bond).map(move |one| (bond, one)))
        {
            self.state.register(&bond.name, member.index);
            if let Err(error) = self.guard.register(member.index) {
                warn(format_args!("what comes in by {} isn't counted: {error:#}", member.name));
            }
        }
    }

    /// Whether the filter is on an interface; `true` if that can't be determined.
    pub fn is_guarded(&self, interface: &Interface) -> bool {
        !matches!(self.guard.is_guarded(interface), Ok(Some(false)))
    }

    /// Which interfaces are counted in which row.
    pub fn rows(&self) -> &Rows {
        &self.state.rows
    }

    /// Takes over every interface that has a hold, with the present program and policy, and attaches to no others.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn resume(mut self) -> Result<(), Fault> {
        if let Some(template) = self.loaded.image.template {
            let knows = self.guard.maps.template().is_ok_and(|template| template.is_some());
            self.begin_learning(template, knows).environment()?;
        }
        self.put_first().environment()?;
        self.guard.take_over_others(&[], self.state.options.xdp_mode).environment()?;
        self.settle().environment()?;
        self.keep();
        Ok(())
    }
}

/// Whether an interface's driver may lose the filter.
fn loses(interface: &Interface) -> bool {
    bpf::losing(interface).is_some()
}
