//! The interfaces that `run` guards, which may go and come back.

use crate::{
    export::Exporter,
    guard::Service,
    host::{
        interface,
        log::{tell, warn},
    },
};

/// One of them.
struct One {
    name: String,
    /// The index under which it is guarded.
    guarded: Option<u32>,
    /// The index under which it came back and couldn't be: said once, and tried again.
    refused: Option<u32>,
    /// The form of the filter there doesn't fit, and that was said.
    misfit: bool,
}

/// All of them.
pub(super) struct Guarded(Vec<One>);

impl Guarded {
    /// Those that have just been attached to.
    pub(super) fn new(names: &[String]) -> Self {
        let one = |name: &String| One {
            name: name.clone(),
            guarded: interface::find(name).ok().map(|interface| interface.index),
            refused: None,
            misfit: false,
        };
        Self(names.iter().map(one).collect())
    }

    /// Each, and whether it is guarded.
    pub(super) fn each(&self) -> impl Iterator<Item = (String, bool)> {
        self.0.iter().map(|One { name, guarded, .. }| (name.clone(), guarded.is_some()))
    }

    /// Notices interfaces that are gone, and attaches to those that have come back. The kernel detaches the filter
    /// with its interface, and tells nobody. Returns whether it was attached to one.
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
