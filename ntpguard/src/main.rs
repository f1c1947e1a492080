//! The `ntpguard` command: parses the command line, runs the verb, and turns faults into exit codes.

use clap::{Parser as _, error::ErrorKind};
use ntpguard::{
    cli::{Cli, settings_file},
    cmd,
    host::{
        fault::Fault,
        log::{complain, told},
    },
};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = match settings_file::arguments(std::env::args_os().collect()) {
        Ok(arguments) => arguments,
        Err(fault) => return end(Err(fault)),
    };
    let verb = match Cli::try_parse_from(arguments.all).and_then(Cli::verb) {
        Ok(verb) => verb,
        Err(error) => {
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            if asked {
                // If standard output is closed, the exit code stays the same.
                let _ = error.print();
            } else {
                // Arguments may come from a file, so control characters in them mustn't reach the terminal.
                complain(format_args!("{}", error.render().to_string().trim_end()));
            }
            if let Some(file) = arguments.added_by.filter(|_| !asked) {
                complain(format_args!("some of these options are from {}", file.display()));
            }
            told();
            return if asked { ExitCode::SUCCESS } else { ExitCode::from(Fault::USAGE) };
        }
    };
    end(cmd::run(verb))
}

fn end(outcome: Result<(), Fault>) -> ExitCode {
    let code = match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            let help = fault.help().map(|help| format!("; {help}")).unwrap_or_default();
            complain(format_args!("ntpguard: {fault}{help}"));
            ExitCode::from(fault.exit_code())
        }
    };
    told();
    code
}
