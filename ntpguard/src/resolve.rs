//! Names to addresses: the only user of DNS.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    io,
    net::{IpAddr, ToSocketAddrs as _},
};

/// All addresses of a name, of both families, each once, in the order of the system's resolver.
///
/// # Errors
/// What getaddrinfo(3) says.
pub fn addresses(name: &str) -> io::Result<Vec<IpAddr>> {
    let mut seen = HashSet::new();
    let addresses = (name, 0).to_socket_addrs()?.map(|address| address.ip());
    Ok(addresses.filter(|address| seen.insert(*address)).collect())
}

/// What came of a look-up; an [`io::Error`] can't be cloned.
type Found = Result<Vec<IpAddr>, (io::ErrorKind, String)>;

/// Looks each name up once, and remembers what came of it.
#[derive(Default)]
pub struct Names(RefCell<HashMap<String, Found>>);

impl Names {
    /// As [`addresses`].
    ///
    /// # Errors
    /// What the first look-up met.
    pub fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let mut known = self.0.borrow_mut();
        let found = known
            .entry(name.to_owned())
            .or_insert_with(|| addresses(name).map_err(|error| (error.kind(), error.to_string())));
        found.clone().map_err(|(kind, message)| io::Error::new(kind, message))
    }
}
