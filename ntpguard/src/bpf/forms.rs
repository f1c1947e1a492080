//! The forms of the XDP program of one object, loaded when they are needed, and more than one instance of a form where a
//! driver may lose it.

use super::{
    call,
    form::{Form, PROGRAM},
    loaded_program::LoadedProgram,
    pins::MapFolder,
    refused::program_in_words,
};
use anyhow::{Context as _, Result};
use aya::programs::Xdp;
use aya_obj::programs::XdpAttachType;
use std::os::fd::AsFd as _;

/// The forms that an object has. Programs that measure have one.
pub(super) struct Forms<'a> {
    frags: Option<&'a mut Xdp>,
    linear: Option<&'a mut Xdp>,
}

impl<'a> Forms<'a> {
    /// Of an object's programs; `None` if none of them is one of these.
    pub(super) fn of(programs: impl Iterator<Item = (&'a str, &'a mut Xdp)>) -> Option<Self> {
        let (mut frags, mut linear) = (None, None);
        for (name, program) in programs {
            match Form::named(name) {
                Some(Form::Frags) => frags = Some(program),
                Some(Form::Linear) => linear = Some(program),
                None => (),
            }
        }
        (frags.is_some() || linear.is_some()).then_some(Self { frags, linear })
    }

    fn slot(&mut self, form: Form) -> Option<&mut Xdp> {
        match form {
            Form::Frags => self.frags.as_deref_mut(),
            Form::Linear => self.linear.as_deref_mut(),
        }
    }

    /// The program in a form, loaded now if it wasn't. Where that form isn't to be had, because the object has none or this
    /// process may no longer load, it is the other one: with it the interface is guarded.
    pub(super) fn take(&mut self, form: Form) -> Result<(Form, &mut Xdp)> {
        let mut refusal = None;
        for form in [form, form.other()] {
            let Some(program) = self.slot(form) else { continue };
            match program.fd().map(drop).or_else(|_| program.load()) {
                Ok(()) => {
                    let program = self.slot(form).with_context(missing)?;
                    return Ok((form, program));
                }
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        Err(refusal.map_or_else(|| anyhow::anyhow!(missing()), program_in_words))
    }

    /// Those that are loaded.
    pub(super) fn loaded(&self) -> Result<Vec<LoadedProgram>> {
        let each = [(Form::Frags, &self.frags), (Form::Linear, &self.linear)];
        let loaded =
            each.into_iter().filter_map(|(form, program)| Some((form, program.as_ref()?.fd().ok()?)));
        loaded.map(|(form, program)| LoadedProgram::new(Some(form), program)).collect()
    }

    /// Loads a form once more, and returns the instance before, which stays loaded as long as that. If the kernel refuses, that
    /// one is here as before. `place` is where it may be pinned meanwhile.
    pub(super) fn double(&mut self, form: Form, place: Option<&MapFolder>) -> Result<LoadedProgram> {
        let (form, program) = self.take(form)?;
        let before = LoadedProgram::new(Some(form), program.fd()?)?;
        let kept = again(program, &before, form, place);
        // Only aya's descriptor is closed: `before` has another one.
        program.unload()?;
        if let Err(error) = program.load() {
            if let Some(kept) = kept {
                *program = kept;
            }
            return Err(program_in_words(error));
        }
        Ok(before)
    }
}

/// Another aya object of a program that is loaded: by its number, which takes CAP_SYS_ADMIN, or by a pin, which is one of those
/// that [`MapFolder::seal`] keeps or removes.
fn again(program: &Xdp, loaded: &LoadedProgram, form: Form, place: Option<&MapFolder>) -> Option<Xdp> {
    let kind = XdpAttachType::Interface;
    let numbered = program.info().and_then(|info| Xdp::from_program_info(info, form.program().into(), kind));
    numbered.ok().or_else(|| {
        let path = place?.beside(loaded.id);
        call::pin(loaded.program.as_fd(), &path).ok()?;
        Xdp::from_pin(&path, kind).ok()
    })
}

fn missing() -> String {
    format!("the object has no program {PROGRAM}")
}
