//! This process's network namespace.

use nix::{
    getsockopt_impl, libc, sockopt_impl,
    sys::{
        socket::{AddressFamily, SockFlag, SockType, getsockopt, socket},
        stat::stat,
    },
};

sockopt_impl!(
    /// The cookie of a socket's network namespace (Linux 5.14 and newer).
    Cookie,
    GetOnly,
    libc::SOL_SOCKET,
    libc::SO_NETNS_COOKIE,
    u64
);

/// The cookie by which BPF programs know the namespace; unique until the next boot.
///
/// # Errors
/// The kernel doesn't report it.
pub fn cookie() -> nix::Result<u64> {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    getsockopt(&socket, Cookie)
}

/// Its inode number: network_namespaces(7).
pub fn inode() -> Option<u64> {
    stat("/proc/self/ns/net").ok().map(|stat| stat.st_ino)
}
