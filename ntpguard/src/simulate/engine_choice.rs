//! Which engine judges packets that aren't on the wire.

/// The choice of an engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineChoice {
    /// The kernel if this process has the right, otherwise the host.
    #[default]
    Auto,
    /// The XDP program, by BPF_PROG_TEST_RUN.
    Kernel,
    /// The same code, compiled for the host.
    Host,
}
