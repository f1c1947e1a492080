//! The embedded BPF objects, and loading them.

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
use crate::{
    compile::Image,
    host::{interface::Interface, namespace},
};
use anyhow::{Context as _, Result, bail};
use aya::{Ebpf, EbpfLoader, maps::MapInfo, programs::Program};
use ntpguard_common::{abi::SLOTS, limit::table::Set};

/// Which of the embedded objects to load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// The filter for XDP. The form for frames in several buffers is loaded first, the other one when it is needed.
    Filter,
    /// Like [`Object::Filter`], but the form for frames in one buffer is loaded first.
    Linear,
    /// The filter for tc.
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

    /// The filter for a hook. At XDP it begins with the form that fits the first of the interfaces; `native` says
    /// whether XDP is to be native.
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

    /// The ELF file made by the build script.
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

/// The sizes of the maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// The minimum number of counters of rules; there will be some to spare.
    pub counters: u32,
    /// The number of sources that can be remembered.
    pub sources: u32,
}

impl Size {
    /// The sizes for a policy of ordinary length.
    pub const fn new(sources: u32) -> Self {
        Self { counters: 0, sources }
    }

    /// The sizes for a policy.
    pub fn of(image: &Image, sources: u32) -> Self {
        Self { counters: image.counters.total(), sources }
    }

    /// The number of counters for one policy. Usually twice as many as needed, so that the policy can grow, with at
    /// least some thousands to spare; but less than twice if there are very many, since each CPU has its own.
    fn room(self) -> u32 {
        self.counters.saturating_add(self.counters.clamp(1 << 12, 1 << 17)).min(1 << 26)
    }
}

/// Loads an object's program, with the maps pinned in a folder or with maps of its own.
pub(super) fn load(object: Object, size: Size, place: Option<MapFolder>) -> Result<(Ebpf, Maps)> {
    let stripes = hits::stripes(hits::cpus()?);
    let (sets, mut stride) = (Set::count(size.sources), size.room() * SLOTS);
    if let Some(info) = place.as_ref().and_then(|place| place.info("HITS")) {
        stride = info.max_entries() / stripes;
    }
    let mut loader = EbpfLoader::new();
    loader.map_max_entries("SOURCES", sets).map_max_entries("HITS", stride * stripes);
    let namespace = namespace::cookie().unwrap_or_default();
    loader.override_global("SETS", &sets, true).override_global("STRIDE", &stride, true).override_global(
        "NAMESPACE",
        &namespace,
        true,
    );
    let paths = place.iter().flat_map(|place| NAMES.map(|name| (name, place.path(name))));
    for (name, path) in paths {
        loader.map_pin_path(name, path);
    }
    let mut ebpf = loader.load(object.bytes()).map_err(in_words)?;
    filter(&mut ebpf)?.load(object.form())?;
    let maps = Maps::take(&mut ebpf, place)?;
    Ok((ebpf, maps))
}

/// The folder of the pinned maps if every map is as the object requires; otherwise a new folder that shares the maps
/// that are. This must be checked beforehand, since the loader reuses pins by path, whatever they are.
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
    // Without the policy word, the other maps' contents would have no meaning.
    if fit.contains(&"POLICY") {
        fit.into_iter().try_for_each(|name| next.share(name, &current))?;
    }
    Ok(next)
}

/// The object's program; if it is for XDP, in its forms.
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

/// A loaded program of the object, of whatever kind and form.
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

    /// A takeover keeps a program that has the same instructions and uses the same maps (`Identity::is_same_code`).
    /// Neither shows read-only values, so the only ones permitted to the filter are `SETS` and `STRIDE`, which follow
    /// from the maps' sizes.
    #[test]
    fn read_only_values_are_sizes_of_maps() {
        // The tracing program isn't listed: it is never pinned, so it is never taken over.
        for object in [Object::Filter, Object::Tc] {
            let elf = aya_obj::Object::parse(object.bytes()).unwrap();
            // NAMESPACE is of the program that learns, which is always replaced.
            let sizes = 2 * size_of::<u32>() + size_of::<u64>();
            assert_eq!(elf.maps[".rodata"].data().len(), sizes, "{object:?}");
        }
    }
}
