//! The forms of an object's XDP program. Each is loaded when it is needed, and a second instance of it for a driver
//! that may lose its program.

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

/// The forms that an object has. Programs that only measure have one.
pub(super) struct Forms<'a> {
    frags: Option<&'a mut Xdp>,
    linear: Option<&'a mut Xdp>,
}

impl<'a> Forms<'a> {
    /// The forms among an object's programs; `None` if there is none.
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

    /// The program in a form, loaded now if it wasn't before. If that form isn't available, because the object doesn't
    /// have it or this process may no longer load programs, the other form, so that the interface is guarded all the
    /// same.
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

    /// The programs that are loaded.
    pub(super) fn loaded(&self) -> Result<Vec<LoadedProgram>> {
        let each = [(Form::Frags, &self.frags), (Form::Linear, &self.linear)];
        let loaded =
            each.into_iter().filter_map(|(form, program)| Some((form, program.as_ref()?.fd().ok()?)));
        loaded.map(|(form, program)| LoadedProgram::new(Some(form), program)).collect()
    }

    /// Loads a form a second time, and returns the previous instance, which stays loaded as long as the returned value.
    /// If the kernel refuses, the previous instance stays in use. `place` is where it may be pinned temporarily.
    pub(super) fn double(&mut self, form: Form, place: Option<&MapFolder>) -> Result<LoadedProgram> {
        let (form, program) = self.take(form)?;
        let before = LoadedProgram::new(Some(form), program.fd()?)?;
        let kept = again(program, &before, form, place);
        // This closes only aya's descriptor: `before` has another one.
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

/// Another aya object for a loaded program: opened by its id, which requires CAP_SYS_ADMIN, or through a pin, which
/// [`MapFolder::seal`] later keeps or removes.
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
