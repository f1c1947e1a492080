//! The interfaces that `run` guards, which may go and come back.

use crate::{
    export::Exporter,
    interface,
    service::Service,
    writer::{tell, warn},
};

/// One of them.
struct One {
    name: String,
    /// The index under which it is guarded.
    guarded: Option<u32>,
    /// The index under which it came back and couldn't be: said once, and tried again.
    refused: Option<u32>,
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
        };
        Self(names.iter().map(one).collect())
    }

    /// Each, and whether it is guarded.
    pub(super) fn each(&self) -> impl Iterator<Item = (String, bool)> {
        self.0.iter().map(|One { name, guarded, .. }| (name.clone(), guarded.is_some()))
    }

    /// Notices interfaces that are gone, and attaches to those that have come back. The kernel detaches the filter
    /// with its interface, and tells nobody.
    pub(super) fn follow(&mut self, service: &mut Service, export: &Exporter) {
        let all = match interface::all() {
            Ok(all) => all,
            Err(error) => return warn(format_args!("{error:#}; still guarding")),
        };
        service.follow_members(&all);
        for One { name, guarded, refused } in &mut self.0 {
            if let Some(renamed) = guarded.and_then(|index| interface::named(&all, index, name)) {
                tell(format_args!("{name} is called {renamed} now, and stays guarded"));
                renamed.clone_into(name);
            }
            let Some(found) = all.iter().find(|interface| interface.name == *name) else {
                if guarded.take().is_some() {
                    warn(format_args!("{name} is gone, and nothing guards it until it is back"));
                }
                continue;
            };
            let now = Some(found.index);
            if *guarded == now {
                if service.is_guarded(found) {
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
                    export.attached(name, &attached);
                }
                Err(_) if *refused == now => (),
                Err(error) => {
                    *refused = now;
                    warn(format_args!("{name} is there, and can't be guarded (tried again): {error:#}"));
                }
            }
        }
    }
}
