//! Messages for an object or a program that the kernel refuses.

use crate::host::sandbox;
use anyhow::anyhow;
use aya::{EbpfError, maps::MapError, programs::ProgramError};
use nix::errno::Errno;
use std::io;

/// Describes a failed load of an object, and what to do about it.
pub(super) fn in_words(error: EbpfError) -> anyhow::Error {
    match &error {
        EbpfError::MapError(MapError::CreateError { io_error, .. }) if is_forbidden(io_error) => forbidden(),
        _ => anyhow::Error::new(error).context("the BPF object can't be loaded"),
    }
}

/// Describes the kernel's refusal of a program, and what to do about it.
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
    // EACCES isn't included: the verifier also reports it, for an invalid access.
    error.raw_os_error() == Some(Errno::EPERM as i32)
}

fn forbidden() -> anyhow::Error {
    anyhow!("not allowed to load BPF programs: run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON")
}
