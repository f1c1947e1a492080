//! The interfaces that `run` guards, which may disappear and come back.

use crate::{
    export::Exporter,
    guard::Service,
    host::{
        interface,
        log::{tell, warn},
    },
};

/// A guarded interface.
struct One {
    name: String,
    /// The interface index under which it is guarded.
    guarded: Option<u32>,
    /// The interface index under which it came back but couldn't be attached to. This is reported once, and tried again.
    refused: Option<u32>,
    /// The attached form of the filter doesn't fit, and this was reported.
    misfit: bool,
}

/// All interfaces that `run` guards.
pub(super) struct Guarded(Vec<One>);

impl Guarded {
    /// The interfaces to which the filter has just been attached.
    pub(super) fn new(names: &[String]) -> Self {
        let one = |name: &String| One {
            name: name.clone(),
            guarded: interface::find(name).ok().map(|interface| interface.index),
            refused: None,
            misfit: false,
        };
        Self(names.iter().map(one).collect())
    }

    /// Each interface's name, and whether it is guarded.
    pub(super) fn each(&self) -> impl Iterator<Item = (String, bool)> {
        self.0.iter().map(|One { name, guarded, .. }| (name.clone(), guarded.is_some()))
    }

    /// Notices interfaces that have disappeared, and attaches to those that have come back: the kernel detaches the filter
    /// from a removed interface without notice. Returns whether it has attached to one.
    pub(super) fn follow(&mut self, service: &mut Service, export: &Exporter) -> bool {
        let all = match interface::all() {
            Ok(all) => all,
            Err(error) => {
                warn(format_args!("{error:#}; still guarding"));
                return false;
            }
        };
        let mut attached_to_one = false;
        service.follow_members(&all);
        for One { name, guarded, refused, misfit } in &mut self.0 {
            if let Some(renamed) = guarded.and_then(|index| interface::named(&all, index, name)) {
                tell(format_args!("{name} is called {renamed} now, and stays guarded"));
                renamed.clone_into(name);
                guarded.iter().for_each(|index| service.rename(*index, name));
            }
            let Some(found) = all.iter().find(|interface| interface.name == *name) else {
                if guarded.take().is_some() {
                    warn(format_args!("{name} is gone, and nothing guards it until it is back"));
                    service.forget_gone();
                }
                continue;
            };
            let now = Some(found.index);
            if *guarded == now {
                if service.is_guarded(found) {
                    match service.choose_again(found) {
                        Ok(false) => *misfit = false,
                        Ok(true) => tell(format_args!(
                            "{name}: another form of the filter, for its members as they are now"
                        )),
                        Err(_) if *misfit => (),
                        Err(error) => {
                            *misfit = true;
                            warn(format_args!(
                                "{name}: no form of the filter fits its members as they are now: {error:#}; start ntpguard again"
                            ));
                        }
                    }
                    continue;
                }
                warn(format_args!("somebody has taken the filter off {name}"));
            } else if guarded.is_some() {
                warn(format_args!("{name} is another interface now"));
            }
            *guarded = None;
            match service.attach_to(name) {
                Ok(attached) => {
                    (*guarded, *refused) = (now, None);
                    attached_to_one = true;
                    export.attached(name, &attached);
                }
                Err(_) if *refused == now => (),
                Err(error) => {
                    *refused = now;
                    warn(format_args!("{name} is there, and can't be guarded (tried again): {error:#}"));
                }
            }
        }
        attached_to_one
    }
}
