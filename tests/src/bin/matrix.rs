//! `cargo xtask vm --nic …`: boots guests with network cards and tests them from outside; also the programs that run in the
//! guest.

use anyhow::{Context as _, Result, bail};
use clap::{Parser, ValueEnum};
use ntpguard_tests::matrix::{agent, card::Card, machine::Boot, page, run, verdict::Run};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// What ntpguard does on network cards of many kinds. As root; only namespaces of its own see any of it.
#[derive(Parser)]
#[command(name = "matrix")]
enum Cli {
    /// Boot a guest for each kernel and card, and judge from outside what ntpguard does in it.
    Run(Options),
    /// In the guest: run what the host says over the serial line.
    Agent,
    /// In the guest: answer as an open daemon does.
    Respond,
}

#[derive(clap::Args)]
struct Options {
    /// A kernel's name, image and userland.
    #[arg(long = "kernel", value_name = "NAME=IMAGE=INITRAMFS", required = true)]
    kernels: Vec<String>,
    /// Which cards; `all` for every kind.
    #[arg(long = "nic", required = true)]
    cards: Vec<String>,
    /// How many guests run at a time.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// The emulator.
    #[arg(long, default_value = "qemu-system-x86_64")]
    qemu: PathBuf,
    /// A folder in which it looks for firmware beside its own.
    #[arg(long)]
    firmware: Vec<PathBuf>,
    /// Where consoles of guests are written.
    #[arg(long)]
    consoles: PathBuf,
    /// What marks the build: runs of it are kept beside the consoles, and the table has those, too.
    #[arg(long)]
    build: Option<String>,
    /// Put the table into this document, between its marks.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

/// The kernel series of which results may have been saved.
const KERNELS: [&str; 2] = ["6.1", "6.12"];

fn main() -> ExitCode {
    let done = match Cli::parse() {
        Cli::Run(options) => matrix(&options),
        Cli::Agent => agent::serve(),
        Cli::Respond => agent::respond(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("matrix: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn matrix(options: &Options) -> Result<()> {
    let cards = cards(&options.cards)?;
    fs::create_dir_all(&options.consoles)?;
    let mut tries = Vec::new();
    for kernel in &options.kernels {
        let mut parts = kernel.split('=');
        let mut part = || parts.next().context("a kernel is NAME=IMAGE=INITRAMFS");
        let (name, image, initramfs) = (part()?, part()?, part()?);
        for card in &cards {
            let boot = Boot {
                kernel: name.to_owned(),
                image: image.into(),
                initramfs: initramfs.into(),
                qemu: options.qemu.clone(),
                firmware: options.firmware.clone(),
                console: options.consoles.join(format!("console-{name}-{}", card.name())),
            };
            tries.push((boot, *card));
        }
    }
    let runs = all(&tries, options)?;
    let table = page::markdown(&kept(options, &runs)?);
    println!("\n{table}");
    if let Some(path) = &options.write {
        page::write(path, &table)?;
    }
    let failed: Vec<_> = runs
        .iter()
        .filter(|run| run.fails())
        .map(|run| format!("{} on Linux {}", run.card.name(), run.kernel))
        .collect();
    if !failed.is_empty() {
        bail!("something isn't as it should be with {}", failed.join(", "));
    }
    Ok(())
}

/// The file for the result of a run of this build; `None` if builds aren't distinguished, so that none is saved.
fn place(options: &Options, kernel: &str, card: Card) -> Option<PathBuf> {
    let build = options.build.as_ref()?;
    Some(options.consoles.join(format!("run-{build}-{kernel}-{}.json", card.name())))
}

/// The page's entries for these runs, and for runs of the same build whose results were saved.
fn kept(options: &Options, runs: &[Run]) -> Result<Vec<Value>> {
    let kernels: BTreeSet<_> = runs.iter().map(|run| &*run.kernel).chain(KERNELS).collect();
    let mut entries = Vec::new();
    for (kernel, card) in kernels.into_iter().flat_map(|kernel| Card::ALL.map(|card| (kernel, card))) {
        if let Some(run) = runs.iter().find(|run| run.kernel == kernel && run.card == card) {
            entries.push(page::entry(run));
        } else if let Some(file) = place(options, kernel, card).filter(|file| file.exists()) {
            entries.push(serde_json::from_slice(&fs::read(file)?)?);
        }
    }
    Ok(entries)
}

/// Runs all guests, as many at a time as the options say, and returns the results in the order of `tries`.
fn all(tries: &[(Boot, Card)], options: &Options) -> Result<Vec<Run>> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some((boot, card)) = tries.get(number) else { return };
                    let run =
                        run(boot, *card).with_context(|| format!("{} on Linux {}", card.name(), boot.kernel));
                    // If this fails, the table contains the card only if all runs complete.
                    let place = place(options, &boot.kernel, *card);
                    if let (Ok(run), Some(file)) = (&run, place) {
                        let _ = fs::write(file, page::entry(run).to_string());
                    }
                    done.lock().expect("nobody panics with it").insert(number, run);
                }
            });
        }
    });
    done.into_inner().expect("nobody panics with it").into_values().collect()
}

/// The cards with these names.
fn cards(names: &[String]) -> Result<Vec<Card>> {
    let words = names.iter().flat_map(|words| words.split(','));
    let mut cards = Vec::new();
    for word in words {
        match word {
            "all" => cards.extend(Card::ALL),
            word => match Card::from_str(word, false) {
                Ok(card) => cards.push(card),
                Err(_) => {
                    bail!("there is no card {word:?}, only all, {}", Card::ALL.map(Card::name).join(", "))
                }
            },
        }
    }
    Ok(cards)
}
