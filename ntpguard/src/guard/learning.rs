//! Learning the daemon's associations: who is one when the filter starts, and the epoch by which they end.

use super::{Service, epoch::Epoch};
use crate::{
    bpf::{Learner, associations::Associations},
    daemon,
    host::{
        cgroup,
        log::{tell, warn},
    },
};
use anyhow::Result;
use ntpguard_common::associations::{Origin, Template};
use std::{path::Path, time::Duration};

/// How long the daemon may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// For how many seconds any address may be an association's if nobody says who they are: after twice the longest
/// default poll interval (maxpoll 10), every association has sent something.
const UNTIL_ALL_HAVE_ASKED: u64 = 2 << 10;

impl Service {
    /// Begins to learn the daemon's associations, before any packet is judged by a policy that distinguishes them from
    /// other sources. Whatever goes wrong, packets that may be an association's pass.
    ///
    /// `template` is what the new policy says of them. `knows`: until now a policy was in force, with these maps, that
    /// distinguishes them, too.
    ///
    /// # Errors
    /// The table can't be read or written, so that nothing could be let pass.
    pub(super) fn begin_learning(&mut self, template: Template, knows: bool) -> Result<()> {
        let associations = self.guard.maps.associations()?;
        if !knows {
            // What leaves before the new policy is in force is noted by the one before.
            self.guard.maps.announce(template)?;
        }
        if cgroup::is_containers(Path::new("/")) {
            open(&associations, u64::MAX);
            tell(format_args!(
                "only a container's control groups are visible here, and the daemon may be in another:"
            ));
            tell(format_args!("  what `restrict source` may let in passes from any address"));
            return Ok(());
        }
        match cgroup::root().and_then(|root| self.guard.learn(&root)) {
            Ok((how, goes_on)) => {
                self.learner = Some(how);
                let sender = match how {
                    Learner::ByNamespace => "this network namespace sends",
                    Learner::ByAddress => "this host's addresses send",
                };
                tell(format_args!("the daemon's associations are learnt from what {sender}"));
                if !(goes_on && knows) {
                    reset(&associations);
                    ask(&associations);
                }
            }
            Err(error) => {
                open(&associations, u64::MAX);
                warn(format_args!(
                    "can't learn the daemon's associations: {error:#}; what `restrict source` may let in passes from any address"
                ));
            }
        }
        Ok(())
    }

    /// Advances the epoch, by which associations end that haven't sent anything for long. `follows`: this process
    /// follows changes of this host's addresses.
    pub fn advance(&mut self, follows: bool) {
        if self.learner.is_none() {
            return;
        }
        if self.epoch.is_none() {
            match self.guard.maps.associations() {
                Ok(associations) => self.epoch = Some(Epoch::new(associations)),
                // Then no association ends.
                Err(_) => return,
            }
        }
        self.epoch.iter().for_each(|epoch| epoch.advance(follows));
    }
}

/// Asks the daemon for the associations that it has. One that begins later is seen when it sends its first packet.
fn ask(associations: &Associations) {
    if matches!(daemon::detect::is_running(), Ok(false)) {
        // Nobody to have any.
        return;
    }
    let known = match daemon::associations::ask(ANSWER_TIMEOUT) {
        Ok(known) => known,
        Err(error) => {
            if let daemon::associations::Error::Incomplete { known, .. } = &error {
                note(associations, known);
            }
            open(associations, UNTIL_ALL_HAVE_ASKED);
            tell(format_args!("the daemon doesn't list its associations ({error}):"));
            tell(format_args!(
                "  for {UNTIL_ALL_HAVE_ASKED} s, what `restrict source` may let in passes from any address"
            ));
            return;
        }
    };
    note(associations, &known);
}

fn note(associations: &Associations, known: &[daemon::associations::Association]) {
    for &daemon::associations::Association { address, port, poll } in known {
        associations.note(Origin::Daemon, address, port, poll);
    }
}

/// Takes back that any address may be an association's, which an earlier start may have left so for good.
fn reset(associations: &Associations) {
    if let Some(learning) = associations.learning() {
        learning.open_until.set(0);
    }
}

/// Lets any address be an association's for this many seconds.
fn open(associations: &Associations, seconds: u64) {
    let Some(learning) = associations.learning() else { return };
    let until = learning.epoch.get().saturating_add(seconds);
    learning.open_until.set(learning.open_until.get().max(until));
}
