//! The only user of aya: loads the program, installs an image, attaches, reads counters.
//!
//! Contract: [`Guard::load`] attaches nothing; [`Maps::install`] puts a whole image in force with one write; dropping a
//! guard detaches it from every interface, unless it is pinned.

pub mod associations;
mod attach;
mod call;
mod enforced;
mod events;
mod filter;
mod form;
mod forms;
mod hits;
mod hold;
mod how;
mod identity;
mod install;
mod learn;
mod left;
mod load;
mod loaded_program;
mod maps;
pub mod owner;
mod pins;
mod readonly;
mod refused;
mod running;
mod seen;
pub mod snapshot;
mod standby;
mod table;
mod tc;
mod test_run;
mod trace;

pub use enforced::Enforced;
pub use events::Events;
pub use hold::{Attached, fit, give_up, look};
pub use how::{Hook, How, Mode};
pub use learn::{Learner, Learnt};
pub use left::{Before, Going, Left};
pub use load::{Object, Size};
pub use maps::Maps;
pub use pins::{EVENTS, MapFolder, Pins, RUN, TURN};
pub use running::Running;
pub use seen::Seen;
pub use standby::{Held, drivers, losing};
pub use table::Table;
pub use tc::at_tc;
pub use test_run::TestRun;

use crate::{
    compile::Image,
    host::{
        access::Readers,
        interface::{self, Interface},
    },
};
use anyhow::{Context as _, Result};
use aya::{Ebpf, programs::links::FdLink};
use filter::Filter;
use form::Form;
use form::PROGRAM;
use identity::Identity;
use load::{filter, program};
use loaded_program::LoadedProgram;
use standby::Link;
use std::sync::{Arc, Mutex, PoisonError};

/// A loaded filter.
pub struct Guard {
    ebpf: Ebpf,
    /// The filter's maps.
    pub maps: Maps,
    /// Holds that end with this process, with the indexes of their interfaces.
    held: Vec<(u32, FdLink)>,
    /// The program that learns associations, if its link ends with this process.
    learner: Option<FdLink>,
    /// Second instances of the program.
    spares: Vec<LoadedProgram>,
    /// The lines of ntp.conf that the lines of a trace name; `None` without a trace.
    traced: Option<trace::Causes>,
    /// Where everything is pinned that stays when this process ends.
    pins: Option<Pins>,
}

impl Guard {
    /// Loads the program with maps of its own, which are freed with it.
    ///
    /// # Errors
    /// This process may not load programs, or the kernel refuses the program.
    pub fn load(object: Object, size: Size) -> Result<Self> {
        let (ebpf, maps) = load::load(object, size, None)?;
        Ok(Self { ebpf, maps, held: Vec::new(), learner: None, spares: Vec::new(), traced: None, pins: None })
    }

    /// Loads the program with the pinned maps, and with new maps in place of those that have another type or are too
    /// small. Only one process may do so at a time; the caller makes sure of that.
    ///
    /// # Errors
    /// As [`Guard::load`]; or the pins can't be written.
    pub fn load_pinned(object: Object, size: Size, pins: Pins) -> Result<Self> {
        pins.sweep()?;
        let before = pins.current()?;
        let place = load::place(object, size, &pins)?;
        let (ebpf, mut maps) = load::load(object, size, Some(place))?;
        maps.succeed(before.as_ref());
        let pins = Some(pins);
        Ok(Self { ebpf, maps, held: Vec::new(), learner: None, spares: Vec::new(), traced: None, pins })
    }

    /// Puts an image in force for the first time, as [`Maps::install`] does.
    ///
    /// # Errors
    /// As [`Maps::install`].
    pub fn install(&mut self, image: &Image) -> Result<()> {
        self.maps.install(image, &[]).map(drop)
    }

    /// Attaches to an interface, or replaces the program there, and returns how.
    ///
    /// # Errors
    /// There is no such interface, it has another XDP program, its driver has no XDP, or the kernel no tcx: the message
    /// says what to do.
    pub fn attach(&mut self, interface: &str, mode: Mode) -> Result<Attached> {
        // Registered before anything is counted there.
        let index = interface::find(interface)?.index;
        self.register(index)?;
        let pins = self.pins.as_ref().map(|pins| (pins, programs(&self.maps)));
        let (attached, held) = hold::attach(&mut filter(&mut self.ebpf)?, interface, mode, pins)?;
        if let Some(held) = held {
            // A hold whose interface is gone holds nothing, and the index may have been given to another interface.
            self.held.retain(|(other, _)| *other != index);
            self.held.push((index, held));
        }
        Ok(attached)
    }

    /// Attaches to an interface in the stack, since its driver doesn't run the program.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn fall_back(&mut self, interface: &str) -> Result<()> {
        let found = interface::find(interface)?;
        let mut filter = filter(&mut self.ebpf)?;
        match &self.pins {
            Some(pins) => {
                hold::attach(&mut filter, interface, Mode::Generic, Some((pins, Vec::new()))).map(drop)
            }
            None => {
                // The kernel allows only one mode at a time, so the old hold must end first; without a pin it ends with
                // its descriptor.
                self.held.retain(|(other, _)| *other != found.index);
                let link = hold::attach_soon(&mut filter, &found, Mode::Generic)?.link;
                self.held.push((found.index, link));
                Ok(())
            }
        }
    }

    /// Declares that frames may come in by an interface, by its index. This includes a bond's members, whose frames XDP
    /// judges on behalf of the bond.
    ///
    /// # Errors
    /// The kernel refuses to write the map.
    pub fn register(&mut self, interface: u32) -> Result<()> {
        self.maps.register(interface)
    }

    /// Whether an interface is guarded by a pinned hold; `None` if nothing is pinned.
    ///
    /// # Errors
    /// The kernel doesn't report it.
    pub fn is_guarded(&self, interface: &Interface) -> Result<Option<bool>> {
        self.pins.as_ref().map(|pins| Ok(look(pins, interface)?.is_some())).transpose()
    }

    /// Takes another owner's XDP program off an interface, and logs which one it was.
    ///
    /// # Errors
    /// Only its owner can remove it.
    pub fn evict(&self, interface: &str) -> Result<()> {
        let interface = interface::find(interface)?;
        let ours = self.pins.as_ref().map(|pins| hold::look(pins, &interface)).transpose()?.flatten();
        match interface.xdp {
            Some(xdp) if ours.is_none() => owner::evict(&interface, xdp),
            _ => Ok(()),
        }
    }

    /// Gives up interfaces.
    pub fn release<'a>(&mut self, interfaces: impl Iterator<Item = &'a String>) {
        for interface in interfaces {
            // An interface that is gone needs no release.
            let Ok(Interface { index, .. }) = interface::find(interface) else { continue };
            self.held.retain(|(other, _)| *other != index);
            let _ = self.pins.as_ref().map(|pins| pins.release(index));
        }
    }

    /// Replaces the program of the pinned holds on other interfaces than these, and removes holds that hold no
    /// interface.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn take_over_others(&mut self, named: &[String], mode: Mode) -> Result<()> {
        let Some(pins) = &self.pins else { return Ok(()) };
        pins.links()?.into_iter().try_for_each(|index| self.maps.register(index))?;
        let pinned = programs(&self.maps);
        hold::take_over_others(&mut filter(&mut self.ebpf)?, named, mode, (pins, pinned))
    }

    /// Pins this program for the next start to take over, and removes the pins of earlier ones. To be called when the
    /// guard is attached to all of its interfaces.
    ///
    /// # Errors
    /// The pins can't be written.
    pub fn settle(&mut self) -> Result<()> {
        let (Some(pins), Some(place)) = (&self.pins, self.maps.place()) else { return Ok(()) };
        let mut own = filter(&mut self.ebpf)?.loaded()?;
        // A hold may be switched to a spare, and back to the spare's other instance.
        let is_doubled = |own: &LoadedProgram| self.spares.iter().any(|spare| spare.form == own.form);
        let spares = self.spares.iter().chain(own.iter().filter(|own| is_doubled(own))).map(|one| one.id);
        let needed = spares.chain(hold::behind(pins)?).collect();
        for spare in &self.spares {
            own.push(LoadedProgram::new(spare.form, &spare.program)?);
        }
        place.seal(&own, &needed)?;
        pins.retain(Some(place))
    }

    /// Loads what may have to be attached to these interfaces later, when this process may no longer load programs: a
    /// second instance if the driver may lose the program, according to `loses`; and the other form if the interface is
    /// a bond, which may get another member.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn stand_by(&mut self, interfaces: &[Interface], loses: impl Fn(&Interface) -> bool) -> Result<()> {
        for interface in interfaces.iter().filter(|one| one.xdp.is_some_and(|xdp| xdp.native)) {
            let Filter::Xdp(mut forms) = filter(&mut self.ebpf)? else { return Ok(()) };
            let form = Form::on(interface, true);
            if loses(interface) && !self.spares.iter().any(|spare| spare.form == Some(form)) {
                self.spares.push(forms.double(form, self.maps.place())?);
            }
            if interface.kind.as_deref() == Some("bond") {
                forms.take(form.other())?;
            }
        }
        Ok(())
    }

    /// A hold on an interface, with all instances that it may switch between: those in the form that fits its driver.
    ///
    /// # Errors
    /// There is no hold on the interface.
    pub fn held(&mut self, interface: &Interface) -> Result<Held> {
        let index = interface.index;
        let link = match &self.pins {
            Some(pins) => Link::Pinned(pins.link(index)?),
            None => {
                let held = self.held.iter().find(|(other, _)| *other == index);
                Link::Own(standby::duplicate(&held.context("there is no hold on this interface")?.1)?)
            }
        };
        let form = Some(Form::on(interface, interface.xdp.is_some_and(|xdp| xdp.native)));
        let mut programs = filter(&mut self.ebpf)?.loaded()?;
        for spare in &self.spares {
            programs.push(LoadedProgram::new(spare.form, &spare.program)?);
        }
        programs.retain(|program| program.form == form);
        Ok(Held { index, link, programs })
    }

    /// Switches the hold on an interface to the other form of the program, if that one fits better now: a bond accepts
    /// frames in several buffers only if all of its members do. Returns whether it was switched.
    ///
    /// # Errors
    /// The kernel refuses, or the other form isn't loaded.
    pub fn choose_again(&mut self, interface: &Interface) -> Result<bool> {
        let Some(native) = interface.xdp.map(|xdp| xdp.native) else { return Ok(false) };
        let held = self.held(interface)?;
        let there = held.program()?;
        let own = filter(&mut self.ebpf)?.loaded()?.into_iter().find(|program| program.id == there);
        let pinned = || programs(&self.maps).into_iter().find(|program| program.id == there);
        let form = own.map_or_else(|| Form::named(&pinned()?.name()), |own| own.form);
        if form.is_none_or(|form| form == Form::on(interface, native)) {
            return Ok(false);
        }
        standby::is_replaceable(interface)?;
        held.swap().map(|()| true)
    }

    /// The programs that are freed when this process ends.
    ///
    /// # Errors
    /// The kernel doesn't report it.
    pub fn going(&mut self) -> Result<Going> {
        let own = filter(&mut self.ebpf)?.loaded()?;
        Going::new(own.iter().chain(&self.spares).map(|program| program.id).collect())
    }

    /// Switches the hold on an interface to another instance of the program, since its driver doesn't run the present
    /// one.
    ///
    /// # Errors
    /// There is no other instance, or the driver refuses it, or wouldn't run it either.
    pub fn put_back(&mut self, interface: &Interface) -> Result<()> {
        standby::is_replaceable(interface)?;
        self.held(interface)?.swap()
    }

    /// Lets a group read the maps that are shown, and no others.
    ///
    /// # Errors
    /// This user doesn't own the pins.
    pub fn admit(&self, readers: &Readers) -> Result<()> {
        let (Some(pins), Some(place)) = (&self.pins, self.maps.place()) else { return Ok(()) };
        pins.admit(place, readers)
    }

    /// Writes the lines that [`Object::Trace`] logs to standard error. `causes` are the lines of ntp.conf in force: for
    /// each rule one for each of [`ntpguard_common::abi::CAUSES`]. To be called again with those of another policy.
    ///
    /// # Errors
    /// The object has no log, or the kernel refuses to read a map.
    pub fn trace(&mut self, causes: &[Option<String>]) -> Result<()> {
        let of_counters = self.maps.by_counter(causes)?;
        match &self.traced {
            Some(traced) => *traced.lock().unwrap_or_else(PoisonError::into_inner) = of_counters,
            None => {
                let traced = Arc::new(Mutex::new(of_counters));
                trace::start(&mut self.ebpf, Arc::clone(&traced))?;
                self.traced = Some(traced);
            }
        }
        Ok(())
    }

    /// Runs the program `repeat` times on a frame, attached or not, and counts it like a frame from the network
    /// (BPF_PROG_TEST_RUN). `linear` is the length of the first buffer, if it is to be chosen (Linux 6.18).
    ///
    /// # Errors
    /// The kernel refuses: the frame is shorter than 14 bytes, or this process may not run programs.
    pub fn test_run(&mut self, frame: &[u8], repeat: u32, linear: Option<u32>) -> Result<TestRun> {
        test_run::test_run(program(&self.ebpf)?, frame, repeat, linear)
    }

    /// The kernel's id of the program: of an XDP program's two forms, the one that was loaded first.
    ///
    /// # Errors
    /// The kernel doesn't report it.
    pub fn id(&self) -> Result<u32> {
        Ok(program(&self.ebpf)?.info()?.id())
    }
}

/// The pinned programs that use these maps.
fn programs(maps: &Maps) -> Vec<Identity> {
    maps.place()
        .map(MapFolder::programs)
        .unwrap_or_default()
        .into_iter()
        .map(|(_, program)| program)
        .collect()
}
