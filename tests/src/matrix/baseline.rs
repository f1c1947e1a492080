//! How a card behaves without any program, so that what it loses or refuses anyway isn't attributed to the filter.

use super::{
    course::Course,
    looks::{Baseline, Spread},
    machine::line,
    outside::Count,
    verdict::{Step, Verdict},
};
use anyhow::Result;

/// Number of looks: the losses of long frames by QEMU's own models differ between looks.
const LOOKS: usize = 5;

impl Course<'_> {
    /// Takes the baseline, before ntpguard starts.
    pub(super) fn take_baseline(&mut self) -> Result<Baseline> {
        let channels = self.channels()?;
        self.machine.run(&self.card.address())?;
        let (mut time, mut long) = (Vec::new(), Vec::new());
        for _ in 0..LOOKS {
            // Repeated each time: what a card loses may depend on the state in which the MTU change has left it.
            self.machine.run(&self.card.mtu(1500))?;
            self.machine.run(&self.card.mtu(9000))?;
            self.machine.run(&self.card.address())?;
            self.reachable()?;
            time.push(self.probe()?.time);
            long.push(self.long()?);
            let all = |counts: &[Count]| counts.iter().all(|count| count.served == count.sent);
            // A card that loses nothing in two looks is taken for one that loses nothing.
            if time.len() == 2 && all(&time) && all(&long) {
                break;
            }
        }
        let (time, long) = (Spread::of(&time), Spread::of(&long));
        self.machine.run(&self.card.mtu(1500))?;
        self.machine.run(&self.card.address())?;
        self.reachable()?;
        Ok(Baseline { time, long, channels })
    }

    /// Why the number of channels can't be changed even without a program; `None` if it can.
    fn channels(&mut self) -> Result<Option<String>> {
        let told = self.machine.script("ethtool -l eth0")?;
        if told.code != 0 {
            return Ok(Some(format!("the driver has no channels to change ({})", line(&told.text))));
        }
        let mut counts = told.text.lines().filter_map(|line| line.trim().strip_prefix("Combined:"));
        let mut next = || counts.next().and_then(|count| count.trim().parse::<u32>().ok());
        match (next(), next()) {
            (Some(longest), Some(now)) if longest > 1 => {
                let script = format!("ethtool -L eth0 combined 2 && ethtool -L eth0 combined {now}");
                let tried = self.machine.script(&script)?;
                let refused =
                    || format!("the driver refuses it without a program, too ({})", line(&tried.text));
                // Setting 2 channels where there are 2 is no change, and some drivers refuse that.
                Ok((tried.code != 0 && now != 2).then(refused))
            }
            (Some(_), _) => Ok(Some("the card has one channel".to_owned())),
            (None, _) => Ok(Some("the card has no combined channels".to_owned())),
        }
    }

    /// Changes the number of channels, if the card allows it.
    pub(super) fn change_channels(&mut self, name: &'static str) -> Result<()> {
        match self.baseline.channels.clone() {
            Some(why) => self.note(name, Verdict::NotRun, why),
            None => {
                self.event(name, &self.ethtool("-L eth0 combined 2"))?;
                if let Some(Step { verdict: Verdict::NotRun, note, .. }) = self.steps.last_mut() {
                    *note = format!("the driver refuses it while it has a program ({note})");
                }
            }
        }
        Ok(())
    }

    /// Takes one more look without a program, after a `detach`: what it shows isn't the filter's doing either.
    pub(super) fn look_again(&mut self) -> Result<String> {
        let (time, long) = (self.probe()?.time, self.long()?);
        self.baseline.time.add(time);
        self.baseline.long.add(long);
        for step in self.steps.iter_mut().filter(|step| step.name == Self::LONG_FRAMES) {
            // Frames that were lost before may have been lost for the same reason.
            if step.verdict == Verdict::Lost && long.served == 0 {
                step.verdict = Verdict::NotRun;
                step.note += &format!("; later, without a program, 0/{}, too", long.sent);
            }
        }
        Ok(format!(
            "after it {}/{} time and {}/{} long frames answered",
            time.served, time.sent, long.served, long.sent
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_says_what_was_lost_without_a_program() {
        let count = |served| Count { sent: 8, served, kisses: 0 };
        let mut spread = Spread::of(&[count(8), count(8)]);
        assert!(!spread.lossy());
        assert_eq!(spread.words(), "without a program 8/8");
        spread.add(count(3));
        assert!(spread.lossy());
        assert_eq!(spread.words(), "without a program 3 to 8 of 8");
    }
}
