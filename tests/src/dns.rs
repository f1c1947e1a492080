//! A name server for one namespace. A test chooses its answers, and can take it down.

use crate::netns::Netns;
use anyhow::{Context as _, Result};
use std::{
    collections::HashMap,
    fs,
    net::{IpAddr, UdpSocket},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

/// The addresses of each name; `None` while the server is down.
type Zone = Option<HashMap<String, Vec<IpAddr>>>;

/// The name server, for as long as this value lives.
pub struct Dns(Arc<Mutex<Zone>>);

impl Dns {
    /// Starts the server on a host, and makes it the only name server of another host.
    ///
    /// # Errors
    /// Not root, or the port is in use.
    pub fn start(on: &Netns, address: &str, asked_by: &Netns, files: &Path) -> Result<Self> {
        let conf = files.join("resolv.conf");
        // Short timeouts, so that an outage delays a test only by seconds.
        fs::write(&conf, format!("nameserver {address}\noptions timeout:1 attempts:1\n"))?;
        asked_by.run(&format!("mount --bind {} /etc/resolv.conf", conf.display()))?;
        let socket = on.enter(|| UdpSocket::bind((address, 53))).context("port 53 is taken")?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let zone = Arc::new(Mutex::new(Zone::Some(HashMap::new())));
        let shared = Arc::downgrade(&zone);
        thread::spawn(move || {
            let mut query = [0; 512];
            while let Some(zone) = shared.upgrade() {
                let Ok((length, from)) = socket.recv_from(&mut query) else { continue };
                let zone = zone.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(answer) = zone.as_ref().and_then(|zone| answer(&query[..length], zone)) {
                    // If the client is gone, it will ask again.
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Ok(Self(zone))
    }

    /// Replaces the names that the server knows, with their addresses.
    pub fn knows(&self, names: &[(&str, &[&str])]) {
        let address = |address: &&str| address.parse().expect("an address");
        let of = |addresses: &[&str]| addresses.iter().map(address).collect();
        let zone = names.iter().map(|(name, addresses)| ((*name).to_owned(), of(addresses))).collect();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(zone);
    }

    /// From now on the server doesn't answer.
    pub fn fails(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The answer to a query (RFC 1035, 4.1): A or AAAA records, or NXDOMAIN.
fn answer(query: &[u8], zone: &HashMap<String, Vec<IpAddr>>) -> Option<Vec<u8>> {
    let (mut name, mut at) = (Vec::new(), 12);
    while let length @ 1.. = usize::from(*query.get(at)?) {
        name.push(std::str::from_utf8(query.get(at + 1..at + 1 + length)?).ok()?);
        at += 1 + length;
    }
    let kind = query.get(at + 1..at + 3)?;
    let found = zone.get(&name.join("."));
    let records: Vec<_> = found
        .into_iter()
        .flatten()
        .filter_map(|address| match (kind, address) {
            ([0, 1], IpAddr::V4(address)) => Some(address.octets().to_vec()),
            ([0, 28], IpAddr::V6(address)) => Some(address.octets().to_vec()),
            _ => None,
        })
        .collect();
    // The flags QR, RD and RA; the response code NXDOMAIN if the name is unknown.
    let mut answer = [&query[..2], &[0x81, if found.is_some() { 0x80 } else { 0x83 }]].concat();
    answer.extend([0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
    answer.extend(query.get(12..at + 5)?);
    for record in records {
        // A pointer to the name in the question, the type, the class IN, and a TTL of 0.
        answer.extend([&[0xc0, 12], kind, &[0, 1, 0, 0, 0, 0, 0, record.len() as u8], &record].concat());
    }
    Some(answer)
}
