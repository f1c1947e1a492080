//! Empty: this package's programs are its binaries. The library exists so that ntpguard's build script can depend on
//! it, and cargo rebuilds the programs when this package or ntpguard-common changes.
#![no_std]
