//! Empty: the programs are this package's binaries. The library gives ntpguard's build script something to
//! depend on, so that cargo rebuilds the programs when this package or ntpguard-common changes.
#![no_std]
