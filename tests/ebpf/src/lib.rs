//! BPF programs that only measure, and are in no release. The programs are this package's binaries; the library has
//! what their loaders must know, too.
#![no_std]

pub mod spread;
