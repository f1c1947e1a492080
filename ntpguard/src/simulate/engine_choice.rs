//! Who judges packets that aren't on the wire.

/// Who judges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineChoice {
    /// The kernel if it may be, else the host.
    #[default]
    Auto,
    /// The XDP program, by BPF_PROG_TEST_RUN.
    Kernel,
    /// The same code, compiled for the host.
    Host,
}
