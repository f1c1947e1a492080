//! BPF programs that only measure, in no release: they are this package's binaries. The library has what those who load them
//! must know, too.
#![no_std]

pub mod spread;
