//! Look-ups by the system's resolver.

use std::{
    collections::{BTreeMap, HashSet},
    io,
    net::{IpAddr, ToSocketAddrs as _},
};

/// All addresses of a name, of both families, each once, in the order of the system's resolver.
///
/// # Errors
/// The error of getaddrinfo(3).
pub fn addresses(name: &str) -> io::Result<Vec<IpAddr>> {
    let mut seen = HashSet::new();
    let addresses = (name, 0).to_socket_addrs()?.map(|address| address.ip());
    Ok(addresses.filter(|address| seen.insert(*address)).collect())
}

/// Names with their last successful answers.
pub type Answers = BTreeMap<String, Vec<IpAddr>>;
