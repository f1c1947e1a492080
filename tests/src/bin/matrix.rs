//! `cargo xtask vm --nic …`: network cards in guests, asked from outside; in the guest, what it runs.

use anyhow::{Context as _, Result, bail};
use clap::{Parser, ValueEnum};
use ntpguard_tests::matrix::{agent, card::Card, machine::Boot, page, run, verdict::Run};
use std::{
    collections::BTreeMap,
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
    /// Put the table into this document, between its marks.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

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
    let runs = all(&tries, options.jobs)?;
    let table = page::markdown(&runs);
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

/// Runs all, `jobs` at a time, and returns what they came to in their order.
fn all(tries: &[(Boot, Card)], jobs: usize) -> Result<Vec<Run>> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some((boot, card)) = tries.get(number) else { return };
                    let run =
                        run(boot, *card).with_context(|| format!("{} on Linux {}", card.name(), boot.kernel));
                    done.lock().expect("nobody panics with it").insert(number, run);
                }
            });
        }
    });
    done.into_inner().expect("nobody panics with it").into_values().collect()
}

/// The cards by their names.
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
