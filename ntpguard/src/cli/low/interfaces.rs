//! The interfaces that a verb is about, as plain arguments or by `--interface`.

use clap::Args;

/// Id of the positional argument for interfaces, which may be given beside `--interface`.
pub const PLAIN: &str = "plain";

/// Interfaces, if some are named.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Which interfaces")]
pub struct Interfaces {
    /// A network interface; may be given more than once.
    #[arg(value_name = "IF", help_heading = None::<&'static str>)]
    pub plain: Vec<String>,

    /// A network interface, as an option.
    #[arg(long, short, value_name = "IF")]
    pub interface: Vec<String>,
}

impl Interfaces {
    /// All interfaces that are named, each once, in the order given.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for name in self.plain.iter().chain(&self.interface) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }
}
