//! The features of a network card (`ethtool --show-features`), and which of them were changed by attaching a program.
//!
//! Generic XDP turns off LRO and hardware GRO and leaves them off (net/core/dev.c:generic_xdp_install); some drivers
//! turn off LRO themselves and don't turn it on again. What is recorded here suffices to revert that, but nothing that
//! was changed by others since.

use super::netlink;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, io};

/// The features of a card, by ethtool's names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Features {
    /// Those that are wanted on, by the administrator or by the driver's default.
    pub wanted: BTreeSet<String>,
    /// Those that are on.
    pub active: BTreeSet<String>,
    /// Those that can be changed.
    #[serde(skip)]
    pub changeable: BTreeSet<String>,
}

/// The state of a feature: wanted, and on.
type Setting = (bool, bool);

impl Features {
    /// The features of an interface.
    ///
    /// # Errors
    /// There is no such interface, or the kernel doesn't report them.
    pub fn of(index: u32) -> io::Result<Self> {
        let [wanted, active, changeable] = netlink::feature_sets(index)?;
        Ok(Self { wanted, active, changeable })
    }

    fn setting(&self, name: &str) -> Setting {
        (self.wanted.contains(name), self.active.contains(name))
    }

    fn set(&mut self, name: &str, (wanted, active): Setting) {
        for (set, on) in [(&mut self.wanted, wanted), (&mut self.active, active)] {
            if on {
                set.insert(name.to_owned());
            } else {
                set.remove(name);
            }
        }
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        self.wanted.union(&self.active)
    }
}

/// A card's features before and after a program was attached.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Altered {
    before: Features,
    after: Features,
}

/// A feature to be restored.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    name: String,
    /// Whether it was wanted.
    on: bool,
    /// Whether it is wanted already but not in that state: the kernel acts only when what is wanted changes
    /// (net/ethtool/features.c:ethnl_set_features), so it has to be switched the other way first.
    around: bool,
}

impl Altered {
    /// For a card that had no program before.
    pub const fn new(before: Features, after: Features) -> Self {
        Self { before, after }
    }

    /// Records that the program was attached again, in another way. Changes between the two attachments were made by
    /// others.
    pub fn again(&mut self, before: &Features, after: Features) {
        let names: BTreeSet<_> = before.names().chain(self.after.names()).cloned().collect();
        for name in names {
            if before.setting(&name) != self.after.setting(&name) {
                self.before.set(&name, before.setting(&name));
            }
        }
        self.after = after;
    }

    /// This record, reduced to the receive offloads that were wanted on, so that only those are restored: the kernel
    /// turns them off for any generic program, and drivers for native ones.
    pub fn offloads(&self) -> Self {
        const OFFLOADS: [&str; 2] = ["rx-lro", "rx-gro-hw"];
        let were_on =
            |name: &&String| OFFLOADS.contains(&name.as_str()) && self.before.wanted.contains(*name);
        let narrowed = |features: &Features| {
            let [wanted, active] =
                [&features.wanted, &features.active].map(|set| set.iter().filter(were_on).cloned().collect());
            Features { wanted, active, changeable: features.changeable.clone() }
        };
        Self { before: narrowed(&self.before), after: narrowed(&self.after) }
    }

    /// Whether there is nothing to restore.
    pub fn is_nothing(&self) -> bool {
        self.before.wanted == self.after.wanted && self.before.active == self.after.active
    }

    /// The features to restore: those that attaching has changed and that weren't changed since.
    fn steps(&self, now: &Features) -> Vec<Step> {
        let names: BTreeSet<_> = self.before.names().chain(self.after.names()).collect();
        let altered = names.into_iter().filter_map(|name| {
            let (before, after) = (self.before.setting(name), self.after.setting(name));
            if before == after || now.setting(name) != after || !now.changeable.contains(name) {
                return None;
            }
            Some(Step { name: name.clone(), on: before.0, around: before.0 == after.0 })
        });
        altered.collect()
    }

    /// Restores what attaching has changed, and returns the features that the kernel didn't restore, with its reason if
    /// it gave one. Takes CAP_NET_ADMIN.
    ///
    /// # Errors
    /// The interface is gone, or the kernel doesn't report its features.
    pub fn restore(&self, index: u32) -> io::Result<Vec<String>> {
        let mut refused = Vec::new();
        let steps = self.steps(&Features::of(index)?);
        for Step { name, on, around } in &steps {
            let set = |on| netlink::set_feature(index, name, on);
            let done = if *around { set(!on).and_then(|()| set(*on)) } else { set(*on) };
            if let Err(error) = done {
                refused.push(format!("{name} ({error})"));
            }
        }
        let now = Features::of(index)?;
        let missed =
            steps.iter().map(|step| &step.name).filter(|name| now.setting(name) != self.before.setting(name));
        let unnamed = missed.filter(|name| !refused.iter().any(|refusal| refusal.starts_with(name.as_str())));
        let unnamed: Vec<_> = unnamed.cloned().collect();
        refused.extend(unnamed);
        Ok(refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(wanted: &[&str], active: &[&str]) -> Features {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let changeable = set(&["rx-lro", "rx-gro-hw", "rx-gro", "rx-checksum"]);
        Features { wanted: set(wanted), active: set(active), changeable }
    }

    fn step(name: &str, on: bool, around: bool) -> Step {
        Step { name: name.to_owned(), on, around }
    }

    #[test]
    fn what_attaching_turned_off_is_turned_on_again() {
        // Generic XDP: the feature is no longer wanted. vmxnet3: it is still wanted, but off.
        let generic = Altered::new(
            features(&["rx-gro", "rx-gro-hw"], &["rx-gro", "rx-gro-hw"]),
            features(&["rx-gro"], &["rx-gro"]),
        );
        assert_eq!(generic.steps(&generic.after_now()), [step("rx-gro-hw", true, false)]);
        let vmxnet3 = Altered::new(features(&["rx-lro"], &["rx-lro"]), features(&["rx-lro"], &[]));
        assert_eq!(vmxnet3.steps(&vmxnet3.after_now()), [step("rx-lro", true, true)]);
        assert!(!vmxnet3.is_nothing());
    }

    #[test]
    fn what_the_driver_or_somebody_else_has_changed_since_stays() {
        let altered = Altered::new(features(&["rx-lro"], &["rx-lro"]), features(&["rx-lro"], &[]));
        for (now, why) in [
            (features(&["rx-lro"], &["rx-lro"]), "the driver has turned it on again"),
            (features(&[], &[]), "somebody wants it off"),
        ] {
            assert_eq!(altered.steps(&now), [], "{why}");
        }
        let mut fixed = features(&["rx-lro"], &[]);
        fixed.changeable.clear();
        assert_eq!(altered.steps(&fixed), [], "it can't be changed");
        let untouched = Altered::new(features(&["rx-gro"], &["rx-gro"]), features(&["rx-gro"], &["rx-gro"]));
        assert!(untouched.is_nothing());
        assert_eq!(untouched.steps(&features(&[], &[])), [], "attaching has changed nothing");
    }

    #[test]
    fn a_second_attachment_goes_on_from_the_first() {
        // A native program turned off LRO; then an administrator turned off checksums; then a generic one turned off
        // hardware GRO as well.
        let all = ["rx-lro", "rx-gro-hw", "rx-checksum"];
        let mut altered = Altered::new(features(&all, &all), features(&all, &all[1..]));
        let between = features(&all[..2], &["rx-gro-hw"]);
        altered.again(&between, features(&["rx-lro"], &[]));
        assert_eq!(
            altered.steps(&altered.after_now()),
            [step("rx-gro-hw", true, false), step("rx-lro", true, true)]
        );
    }

    #[test]
    fn offloads_alone_are_turned_on_and_nothing_is_turned_off() {
        let all = ["rx-lro", "rx-gro-hw", "rx-checksum"];
        let told = Altered::new(features(&all, &all), features(&[], &[]));
        let steps = told.offloads().steps(&features(&[], &[]));
        assert_eq!(steps, [step("rx-gro-hw", true, false), step("rx-lro", true, false)]);
        let off = Altered::new(features(&[], &[]), features(&all, &all));
        assert!(off.offloads().is_nothing());
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let altered = Altered::new(features(&["rx-lro"], &["rx-lro"]), features(&[], &[]));
        let text = serde_json::to_string(&altered).unwrap();
        let read: Altered = serde_json::from_str(&text).unwrap();
        assert_eq!(read.steps(&features(&[], &[])), [step("rx-lro", true, false)]);
    }

    impl Altered {
        /// The features as they were left, with those that can be changed.
        fn after_now(&self) -> Features {
            Features { changeable: features(&[], &[]).changeable, ..self.after.clone() }
        }
    }
}
