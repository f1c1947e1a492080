//! Names to addresses: the only user of DNS.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, ToSocketAddrs as _},
};

/// All addresses of a name, of both families, as the system's resolver has them.
///
/// # Errors
/// What getaddrinfo(3) says.
pub fn addresses(name: &str) -> io::Result<Vec<IpAddr>> {
    let addresses: BTreeSet<_> = (name, 0).to_socket_addrs()?.map(|address| address.ip()).collect();
    Ok(addresses.into_iter().collect())
}
