//! `cargo xtask bench`: measures, and writes the results as a table and as JSON.

use anyhow::{Context as _, Result};
use clap::Parser;
use ntpguard_tests::bench::{
    self, Plan, SECTIONS,
    install::{ALONE, be_alone},
    table,
};
use std::{env, fs, path::PathBuf, process::ExitCode};

/// What ntpguard costs, beside what else does the same. As root; only namespaces of its own see any of it.
#[derive(Parser)]
#[command(name = "bench")]
struct Cli {
    /// Fewer rounds: under two minutes, with wider spreads.
    #[arg(long)]
    quick: bool,
    /// Only these sections.
    #[arg(long, value_delimiter = ',', value_parser = SECTIONS.iter().map(|(name, _)| *name).collect::<Vec<_>>())]
    only: Vec<String>,
    /// Write everything to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Put the tables into this document, between its marks.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let done = match &arguments[..] {
        [word, path] if *word == ALONE => be_alone(path.as_ref()).map(|measured| println!("{measured}")),
        _ => run(&Cli::parse()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    let document = cli.write.as_ref().map(|path| Ok::<_, anyhow::Error>((path, read(path)?))).transpose()?;
    let plan = if cli.quick { Plan::quick() } else { Plan::full() };
    let report = bench::run(&plan, &cli.only)?;
    let markdown = table::markdown(&report);
    println!("{markdown}");
    if let Some(path) = &cli.json {
        let text = serde_json::to_string_pretty(&report.json())? + "\n";
        fs::write(path, text).with_context(|| format!("can't write {}", path.display()))?;
    }
    if let Some((path, document)) = document {
        let document = table::insert(&document, &markdown)?;
        fs::write(path, document).with_context(|| format!("can't write {}", path.display()))?;
    }
    Ok(())
}

/// Reads a document before anything is measured for it, and checks that it has the marks.
fn read(path: &PathBuf) -> Result<String> {
    let document = fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
    table::insert(&document, "")?;
    Ok(document)
}
