//! `ntpguard stats --reset`: the counters' values at that time, stored beside the counters, which are never set back.
//!
//! Each reader has a baseline of its own: it lies in the state folder for users who may write that, and below the user's own
//! folder for anybody else. A reset doesn't affect other readers.

use crate::{
    bpf::snapshot::{Counts as Bank, Snapshot},
    guard::{
        options::Places,
        state::{self, InForce, Rule},
    },
    host::{self, access::Readers, atomic_file},
};
use anyhow::{Context as _, Result};
use nix::unistd::{AccessFlags, eaccess};
use ntpguard_common::{
    Reason,
    abi::{CAUSES, Counter},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    env, fs, io, iter,
    net::IpAddr,
    path::{Path, PathBuf, absolute},
};

/// Packets and bytes, by the name of a reason.
type Counts = BTreeMap<String, (u64, u64)>;

/// The counters' values at the time of a reset.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Baseline {
    /// When they were read, in seconds since 1970.
    pub when: u64,
    /// Which maps were read: other maps count from zero.
    maps: String,
    /// The counts by reason, for each row.
    reasons: BTreeMap<u32, Counts>,
    /// The same for trials.
    #[serde(default)]
    trial: BTreeMap<u32, Counts>,
    /// The hits of each rule; `None` if it was unknown which rules the hits belonged to.
    hits: Option<Vec<Kept>>,
    /// How often each source had been limited.
    pub limited: HashMap<IpAddr, u64>,
}

/// The hits of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
struct Kept {
    rule: Rule,
    /// [`InForce::born`]: a rule that was removed and added again counts from zero.
    born: u32,
    hits: Counts,
    /// The same for trials.
    #[serde(default)]
    trial: Counts,
}

impl Baseline {
    /// The baseline of a reading, with hits if the policy that they belong to is known.
    ///
    /// # Errors
    /// The kernel doesn't report the boot id.
    pub fn new(
        counted: &Snapshot,
        policy: Option<&InForce>,
        maps: u32,
        limited: HashMap<IpAddr, u64>,
    ) -> Result<Self> {
        let named = |reasons: &mut dyn Iterator<Item = (Reason, Counter)>| -> Counts {
            let some = reasons.filter(|(_, counter)| *counter != Counter::default());
            some.map(|(reason, counter)| (reason.name().to_owned(), (counter.packets, counter.bytes)))
                .collect()
        };
        let at = |(row, counters): (&u32, &Vec<Counter>)| {
            (*row, named(&mut Reason::ALL.iter().copied().zip(counters.iter().copied())))
        };
        let kept = |policy: &InForce| {
            let [done, trial] = [&counted.done, &counted.trial].map(|bank| bank.hits.chunks(CAUSES.len()));
            // If there was never a trial, `trial` has no hits.
            let trial = trial.chain(iter::repeat(&[][..]));
            let rules = policy.rules.iter().zip(done.zip(trial)).enumerate();
            let by_cause = |hits: &[Counter]| named(&mut CAUSES.into_iter().zip(hits.iter().copied()));
            let rules = rules.map(|(place, (rule, (hits, trial)))| Kept {
                rule: rule.clone(),
                born: policy.born(place),
                hits: by_cause(hits),
                trial: by_cause(trial),
            });
            rules.filter(|kept| !kept.hits.is_empty() || !kept.trial.is_empty()).collect()
        };
        Ok(Self {
            when: state::now(),
            maps: identity(maps)?,
            reasons: counted.done.rows.iter().map(at).collect(),
            trial: counted.trial.rows.iter().map(at).collect(),
            hits: policy.map(kept),
            limited,
        })
    }

    /// What has been counted since, with hits if it was and is known which rules they belong to; `None` if other counters
    /// have replaced these.
    ///
    /// # Errors
    /// The kernel doesn't report the boot id.
    pub fn since(&self, counted: &Snapshot, policy: Option<&InForce>, maps: u32) -> Result<Option<Snapshot>> {
        let bank = |rows: &BTreeMap<u32, Counts>, hits: fn(&Kept) -> &Counts, now: &Bank| Bank {
            rows: rows.iter().map(|(row, counts)| (*row, counters(Reason::ALL, counts))).collect(),
            hits: policy.map_or_else(Vec::new, |policy| self.hits_then(policy, hits, &now.hits)),
        };
        let then = Snapshot {
            done: bank(&self.reasons, |kept| &kept.hits, &counted.done),
            trial: bank(&self.trial, |kept| &kept.trial, &counted.trial),
        };
        let same = self.maps == identity(maps)? && counted.reaches(&then);
        Ok(same.then(|| counted.since(&then)))
    }

    /// Whether it was known which rules the hits belonged to.
    pub fn knows_hits(&self) -> bool {
        self.hits.is_some()
    }

    /// The hits at the time of the reset, for the present rules.
    fn hits_then(&self, policy: &InForce, of: fn(&Kept) -> &Counts, now: &[Counter]) -> Vec<Counter> {
        let kept = self.hits.iter().flatten().map(|kept| ((&kept.rule, kept.born), of(kept)));
        let kept: HashMap<_, _> = kept.collect();
        let nothing = Counts::new();
        let rules = policy.rules.iter().enumerate();
        let then = rules.flat_map(|(place, rule)| {
            counters(&CAUSES, kept.get(&(rule, policy.born(place))).unwrap_or(&&nothing))
        });
        // Hits that are fewer now than then have begun again from zero.
        let began = |(then, now): (Counter, &Counter)| {
            if then.packets <= now.packets && then.bytes <= now.bytes { then } else { Counter::default() }
        };
        then.zip(now).map(began).collect()
    }

    /// The last baseline; `None` if there is none, or this version can't parse it.
    ///
    /// # Errors
    /// It exists, and can't be read.
    pub fn load(path: &Path) -> Result<Option<Self>> {
        match host::file::read(path, host::file::KEPT) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("can't read {}", path.display())),
        }
    }

    /// Saves the baseline.
    ///
    /// # Errors
    /// The folder can't be created or written.
    pub fn save(&self, path: &Path) -> Result<()> {
        atomic_file::write(path, self, &Readers::default())
    }
}

/// The path of this user's baseline.
///
/// # Errors
/// Neither `HOME` nor `XDG_STATE_HOME` is set to an absolute path.
pub fn place(places: &Places) -> Result<PathBuf> {
    if eaccess(&places.state_dir, AccessFlags::W_OK).is_ok() {
        return Ok(places.state_dir.join("baseline.json"));
    }
    let folder = |name| env::var_os(name).map(PathBuf::from).filter(|folder| folder.is_absolute());
    let state = folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local/state")));
    let state = state.context("there is no place to keep what was counted: set HOME or XDG_STATE_HOME")?;
    // One user may read the counters of several guards.
    let guard = absolute(&places.pin_path)?.display().to_string().replace('/', "-");
    Ok(state.join("ntpguard").join(format!("baseline{guard}.json")))
}

fn counters(reasons: &[Reason], counts: &Counts) -> Vec<Counter> {
    let counter = |reason: &Reason| {
        let (packets, bytes) = counts.get(reason.name()).copied().unwrap_or_default();
        Counter { packets, bytes }
    };
    reasons.iter().map(counter).collect()
}

/// The boot id and a map's id: the kernel numbers maps from the start again at each boot.
fn identity(maps: u32) -> Result<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").context("can't tell this boot")?;
    Ok(format!("{}/{maps}", boot.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(nets: &[(&str, u32)]) -> InForce {
        let rule = |net: &str| Rule { net: net.to_owned(), ntpport: false, lines: vec![] };
        InForce {
            rules: nets.iter().map(|(net, _)| rule(net)).collect(),
            born: nets.iter().map(|(_, born)| *born).collect(),
            ..InForce::default()
        }
    }

    fn counted(time: u64, hits: &[u64]) -> Snapshot {
        let counter = |packets| Counter { packets, bytes: packets * 60 };
        let mut reasons = vec![Counter::default(); Reason::COUNT];
        reasons[Reason::Time.index() as usize] = counter(time);
        let of_rule = |packets: &u64| {
            let mut causes = [Counter::default(); CAUSES.len()];
            causes[0] = counter(*packets);
            causes
        };
        let hits: Vec<_> = hits.iter().flat_map(of_rule).collect();
        // A trial has let ten times as many packets pass for each rule.
        let tenfold =
            |counter: &Counter| Counter { packets: counter.packets * 10, bytes: counter.bytes * 10 };
        let trial = Bank { hits: hits.iter().map(tenfold).collect(), ..Bank::default() };
        Snapshot { done: Bank { rows: BTreeMap::from([(2, reasons)]), hits }, trial }
    }

    #[test]
    fn hits_go_by_rules_and_not_by_places() {
        let before = policy(&[("a", 1), ("b", 1), ("c", 1)]);
        let baseline = Baseline::new(&counted(5, &[10, 20, 30]), Some(&before), 7, HashMap::new()).unwrap();
        // One rule is new and comes first, one was removed, and one was removed and added again.
        let now = policy(&[("new", 2), ("c", 1), ("a", 3)]);
        let since = baseline.since(&counted(8, &[1, 33, 12]), Some(&now), 7).unwrap().unwrap();
        assert_eq!(since, counted(3, &[1, 3, 12]));
    }

    #[test]
    fn other_counters_end_it() {
        let policy = policy(&[("a", 1)]);
        let baseline = Baseline::new(&counted(5, &[1]), Some(&policy), 7, HashMap::new()).unwrap();
        assert_eq!(baseline.since(&counted(4, &[1]), Some(&policy), 7).unwrap(), None);
        assert_eq!(baseline.since(&counted(9, &[1]), Some(&policy), 8).unwrap(), None);
        assert_eq!(baseline.since(&Snapshot::default(), Some(&policy), 7).unwrap(), None);
    }

    #[test]
    fn it_is_kept_and_what_no_version_wrote_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("below/baseline.json");
        assert_eq!(Baseline::load(&path).unwrap(), None);
        let limited = HashMap::from([("192.0.2.1".parse().unwrap(), 3)]);
        let baseline = Baseline::new(&counted(5, &[]), None, 7, limited).unwrap();
        baseline.save(&path).unwrap();
        assert_eq!(Baseline::load(&path).unwrap(), Some(baseline));
        fs::write(&path, "{}").unwrap();
        assert_eq!(Baseline::load(&path).unwrap(), None);
    }
}
