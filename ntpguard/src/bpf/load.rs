//! The BPF objects, and loading them.

use super::{
    filter::Filter,
    form::{Form, PROGRAM},
    forms::Forms,
    hits,
    how::Hook,
    maps::{Maps, NAMES},
    pins::{MapFolder, Pins},
    refused::in_words,
};
use crate::{compile::Image, host::interface::Interface};
use anyhow::{Context as _, Result, bail};
use aya::{Ebpf, EbpfLoader, maps::MapInfo, programs::Program};
use ntpguard_common::{abi::SLOTS, limit::table::Set};

/// Which of the embedded objects to load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// The filter, for XDP: the form for frames in several buffers is loaded first, the other one where it is needed.
    Filter,
    /// The same, but the form for frames in one buffer is loaded first.
    Linear,
    /// The filter, for tc.
    Tc,
    /// The filter that logs every packet to port 123.
    Trace,
}

impl Object {
    /// The filter for a hook.
    pub const fn of(hook: Hook) -> Self {
        match hook {
            Hook::Xdp => Self::Filter,
            Hook::Tc => Self::Tc,
        }
    }

    /// The filter for a hook of interfaces: in the form that the first of them will have if XDP is to be native.
    pub fn on(hook: Hook, first: Option<&Interface>, native: bool) -> Self {
        match first {
            Some(interface) if hook == Hook::Xdp && Form::on(interface, native) == Form::Linear => {
                Self::Linear
            }
            _ => Self::of(hook),
        }
    }

    /// The form that is loaded first.
    const fn form(self) -> Form {
        match self {
            Self::Linear => Form::Linear,
            Self::Filter | Self::Tc | Self::Trace => Form::Frags,
        }
    }

    /// The ELF file, as the build script made it.
    pub fn bytes(self) -> &'static [u8] {
        match self {
            Self::Filter | Self::Linear => {
                aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/ntpguard-xdp"))
            }
            Self::Tc => aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/ntpguard-tc")),
            Self::Trace => aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/ntpguard-xdp-trace")),
        }
    }
}

/// How large the maps are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// How many counters of rules there is room for at least; there will be some to spare.
    pub counters: u32,
    /// How many sources can be remembered.
    pub sources: u32,
}

impl Size {
    /// For a policy of an ordinary length.
    pub const fn new(sources: u32) -> Self {
        Self { counters: 0, sources }
    }

    /// For a policy.
    pub fn of(image: &Image, sources: u32) -> Self {
        Self { counters: image.counters.total(), sources }
    }

    /// Counters of one policy: twice as many as asked for, so that a policy can grow, but some thousands at least; and of
    /// very many not as many again, since each CPU has its own.
    fn room(self) -> u32 {
        self.counters.saturating_add(self.counters.clamp(1 << 12, 1 << 17)).min(1 << 26)
    }
}

/// Loads an object's program, with maps that are pinned at a place, or with its own.
pub(super) fn load(object: Object, size: Size, place: Option<MapFolder>) -> Result<(Ebpf, Maps)> {
    let stripes = hits::stripes(hits::cpus()?);
    let (sets, mut stride) = (Set::count(size.sources), size.room() * SLOTS);
    if let Some(info) = place.as_ref().and_then(|place| place.info("HITS")) {
        stride = info.max_entries() / stripes;
    }
    let mut loader = EbpfLoader::new();
    loader.map_max_entries("SOURCES", sets).map_max_entries("HITS", stride * stripes);
    loader.override_global("SETS", &sets, true).override_global("STRIDE", &stride, true);
    let paths = place.iter().flat_map(|place| NAMES.map(|name| (name, place.path(name))));
    for (name, path) in paths {
        loader.map_pin_path(name, path);
    }
    let mut ebpf = loader.load(object.bytes()).map_err(in_words)?;
    filter(&mut ebpf)?.load(object.form())?;
    let maps = Maps::take(&mut ebpf, place)?;
    Ok((ebpf, maps))
}

/// The place of the maps that are pinned, if all of them are as an object wants them; or a new one, with those that are.
/// Pins are reused by path, whatever they are, so they are looked at first.
pub(super) fn place(object: Object, size: Size, pins: &Pins) -> Result<MapFolder> {
    let elf = aya_obj::Object::parse(object.bytes()).context("the BPF object can't be read")?;
    let stripes = hits::stripes(hits::cpus()?);
    let fits = |name: &str, info: &MapInfo| {
        let Some(wanted) = elf.maps.get(name) else { return false };
        let entries = info.max_entries();
        let is_large_enough = match name {
            "SOURCES" => entries == Set::count(size.sources),
            "HITS" => entries.is_multiple_of(stripes * SLOTS) && entries / (stripes * SLOTS) >= size.counters,
            _ => entries == wanted.max_entries(),
        };
        is_large_enough
            && info.map_type().is_ok_and(|kind| kind as u32 == wanted.map_type())
            && info.key_size() == wanted.key_size()
            && info.value_size() == wanted.value_size()
            && info.map_flags() == wanted.map_flags()
    };
    let Some(current) = pins.current()? else { return pins.next() };
    let fit: Vec<_> =
        NAMES.into_iter().filter(|name| current.info(name).is_some_and(|info| fits(name, &info))).collect();
    if fit.len() == NAMES.len() {
        return Ok(current);
    }
    let next = pins.next()?;
    // Without the policy word the rest would be in force for nobody knows what.
    if fit.contains(&"POLICY") {
        fit.into_iter().try_for_each(|name| next.share(name, &current))?;
    }
    Ok(next)
}

/// The object's program, in its forms if it is XDP's.
pub(super) fn filter(ebpf: &mut Ebpf) -> Result<Filter<'_>> {
    if let Some(Program::SchedClassifier(_)) = ebpf.program(PROGRAM) {
        let Some(Program::SchedClassifier(program)) = ebpf.program_mut(PROGRAM) else { bail!(missing()) };
        return Ok(Filter::Tc(program));
    }
    let programs = ebpf.programs_mut().filter_map(|(name, program)| match program {
        Program::Xdp(program) => Some((name, program)),
        _ => None,
    });
    Forms::of(programs).map(Filter::Xdp).with_context(missing)
}

/// A program of the object that is loaded, whatever its kind and form.
pub(super) fn program(ebpf: &Ebpf) -> Result<&Program> {
    let mut named = [Form::Frags, Form::Linear].into_iter().filter_map(|form| ebpf.program(form.program()));
    named.find(|program| program.fd().is_ok()).with_context(missing)
}

fn missing() -> String {
    format!("the object has no program {PROGRAM}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A take-over keeps a program with the same instructions around the same maps (`Identity::is_same_code`). Read-only values
    /// don't show in either, so there may be none but `SETS` and `STRIDE`, which follow from the maps' sizes.
    #[test]
    fn read_only_values_are_sizes_of_maps() {
        // What traces is never pinned, so nobody takes it over.
        for object in [Object::Filter, Object::Tc] {
            let elf = aya_obj::Object::parse(object.bytes()).unwrap();
            assert_eq!(elf.maps[".rodata"].data().len(), 2 * size_of::<u32>(), "{object:?}");
        }
    }
}
