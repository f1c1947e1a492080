//! Why the kernel refuses an object or a program, in words.

use crate::host::sandbox;
use anyhow::anyhow;
use aya::{EbpfError, maps::MapError, programs::ProgramError};
use nix::errno::Errno;
use std::io;

/// What to do about a failed load of the object.
pub(super) fn in_words(error: EbpfError) -> anyhow::Error {
    match &error {
        EbpfError::MapError(MapError::CreateError { io_error, .. }) if is_forbidden(io_error) => forbidden(),
        _ => anyhow::Error::new(error).context("the BPF object can't be loaded"),
    }
}

/// What to do about a program that the kernel refuses.
pub(super) fn program_in_words(error: ProgramError) -> anyhow::Error {
    match &error {
        ProgramError::LoadError { io_error, .. } if is_forbidden(io_error) || !sandbox::may_measure() => {
            forbidden()
        }
        _ => anyhow::Error::new(error)
            .context("the kernel refuses the program (Linux 6.1 or newer is needed); please report this"),
    }
}

fn is_forbidden(error: &io::Error) -> bool {
    // Not EACCES, which is also the verifier's word for a bad access.
    error.raw_os_error() == Some(Errno::EPERM as i32)
}

fn forbidden() -> anyhow::Error {
    anyhow!("not allowed to load BPF programs: run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON")
}
