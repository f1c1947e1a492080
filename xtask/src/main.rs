//! `cargo xtask`: what cargo alone can't do.

mod bench;
mod book;
mod debian;
mod demo;
mod kernel;
mod lint;
mod qemu;
mod run;
mod setup;
mod test;
mod toolchain;
mod vm;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// ntpguard's tasks.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what building and testing need, and say what before.
    Setup {
        /// Only report what is missing; exit with 1 if anything is.
        #[arg(long)]
        check: bool,
    },
    /// A real ntpd under attack in namespaces, without ntpguard and then with it.
    Demo,
    /// What ntpguard costs, beside what else does the same: tables, JSON, docs/src/performance.md. As root.
    #[command(disable_help_flag = true)]
    Bench {
        /// `--quick`, `--only SECTION,…`, `--json FILE`, `--write docs/src/performance.md`; `--help` tells more.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
        options: Vec<String>,
    },
    /// The book: pages, links and commands checked, and built by mdBook into target/book.
    Book {
        /// Only check, and list the commands that are shown and not run.
        #[arg(long)]
        check: bool,
    },
    /// Everything: unit tests, golden packets, the lab, VMs. As root.
    Test,
    /// Format, clippy for the host and for the BPF target, rustdoc, dependencies and their licences.
    Lint,
    /// How the sources are divided: no circle among files, no import upward, no file too long.
    Rooms {
        /// Print which room imports which instead, as ARCHITECTURE.md shows it.
        #[arg(long)]
        graph: bool,
    },
    /// Golden packets and a live attachment on another kernel, under qemu; with `--nic`, kinds of network card.
    Vm {
        /// Which kernel.
        #[arg(long, value_enum)]
        kernel: kernel::Choice,
        /// Kinds of card that the guest has, one after the other, asked from outside: virtio, vmxnet3, … or all. As root.
        #[arg(long, value_name = "CARD,…")]
        nic: Vec<String>,
        /// How many guests run at a time.
        #[arg(long, default_value_t = 1, requires = "nic")]
        jobs: usize,
        /// Put the table of cards into this document.
        #[arg(long, value_name = "FILE", requires = "nic")]
        write: Option<std::path::PathBuf>,
    },
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::Setup { check } => setup::setup(check),
        Task::Demo => demo::demo(),
        Task::Bench { options } => bench::bench(&options),
        Task::Book { check } => book::book(check),
        Task::Test => test::test(),
        Task::Lint => lint::lint(),
        Task::Rooms { graph } => lint::rooms::rooms(graph),
        Task::Vm { kernel, nic, .. } if nic.is_empty() => kernel.series().into_iter().try_for_each(vm::vm),
        Task::Vm { kernel, nic, jobs, write } => {
            vm::matrix::matrix(&kernel.series(), &nic, jobs, write.as_deref())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
