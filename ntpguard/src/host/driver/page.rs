//! Renders the table of drivers for docs/src/reference/drivers.md.

use super::{Also, ByRelease, Clock, Driver, Leak, Mtu, Release, Stops, Timestamps, all};
use std::fmt::Write as _;

/// The releases whose sources were read.
const READ: [Release; 2] = [Release(6, 1), Release(6, 12)];

/// The table with a row for each driver, and below it the details of each.
pub fn page() -> String {
    let mut text = String::from(
        "| driver | native XDP | several buffers | longest MTU | attach, replace, detach | turned off | timestamps | clock |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for driver in all() {
        text.push_str(&row(driver));
    }
    for driver in all().filter(|driver| driver.native.is_some()) {
        text.push_str(&more(driver));
    }
    text
}

fn names(driver: &Driver) -> String {
    driver.names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn since(release: Option<Release>) -> String {
    match release {
        None => "no".to_owned(),
        Some(Release::OLDEST) => "yes".to_owned(),
        Some(release) => format!("since {release}"),
    }
}

/// A value for both releases, or only once if it is the same.
fn both<T: Copy>(value: ByRelease<T>, words: impl Fn(T) -> String) -> String {
    let [old, new] = READ.map(|release| words(value.at(release)));
    if old == new { old } else { format!("{old} (6.1), {new} (6.12)") }
}

fn row(driver: &Driver) -> String {
    if driver.native.is_none() {
        return format!("| {} | no | | | | | | |\n", names(driver));
    }
    let mtu = both(driver.mtu, |mtu| match mtu {
        Mtu::Unlimited => "any".to_owned(),
        Mtu::Of { single, several } if several == Some(single) || driver.frags.is_none() => {
            single.to_string()
        }
        Mtu::Of { single, several: None } => format!("{single}; any in several buffers"),
        Mtu::Of { single, several: Some(several) } => format!("{single}; {several} in several buffers"),
    });
    let stops = both(driver.stops, |Stops { attach, replace, detach }| {
        [attach, replace, detach].map(|stop| stop.letter().to_string()).join(", ")
    });
    let also = match driver.also {
        Also::Nothing => "",
        Also::Members => "; its members",
        Also::VirtualFunction => "; its virtual function",
        Also::VirtualFunctions => "; all virtual functions",
        Also::Ports => "; all ports",
    };
    let replace = if driver.replaceable { "" } else { "; **replacing has no effect**" };
    let off = driver.offloads.iter().map(|offload| {
        let returns = if offload.returns { "returns" } else { "stays off" };
        format!("`{}` ({returns})", offload.name)
    });
    let off = off.collect::<Vec<_>>().join(", ");
    let timestamps = match driver.timestamps {
        Timestamps::None => "none",
        Timestamps::Kept | Timestamps::KeptInHeadroom => "kept",
        Timestamps::InFrontOfFrame => "in front of the frame",
        Timestamps::Lost => "may be lost",
        Timestamps::Members => "the members'",
        Timestamps::Unknown => "?",
    };
    let clock = match driver.clock {
        Clock::Untouched => "",
        Clock::Stepped => "stepped",
        Clock::Replaced => "replaced, timestamps off",
    };
    format!(
        "| {} | {} | {} | {mtu} | {stops}{also}{replace} | {off} | {timestamps} | {clock} |\n",
        names(driver),
        since(driver.native),
        since(driver.frags),
    )
}

/// A row's refusals, losses, cases in which programs never run, leaks, notes, inferences and source.
fn more(driver: &Driver) -> String {
    let mut text = format!("\n### {}\n\n", names(driver));
    let mut list = |head: &str, items: Vec<&str>| {
        if !items.is_empty() {
            let _ = writeln!(text, "- {head}{}.", items.join("; "));
        }
    };
    list("Refuses a program if ", driver.refusals.iter().map(|refusal| refusal.words()).collect());
    list(
        "**Takes a program and never runs it** if ",
        driver.never.iter().map(|never| never.words()).collect(),
    );
    list("**Loses the program** ", driver.losses.iter().map(|loss| loss.words()).collect());
    let leak = driver.leaks.map(Leak::words);
    list("**Keeps loaded until the next boot**, and doesn't run, ", leak.into_iter().collect());
    for note in driver.notes {
        let _ = writeln!(text, "- {note}");
    }
    for inferred in driver.inferred {
        let _ = writeln!(text, "- Inferred, not stated by the code: {inferred}");
    }
    let _ = writeln!(text, "- Read in `{}`.", driver.source);
    text
}
