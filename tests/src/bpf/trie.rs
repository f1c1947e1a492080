//! A look-up in the kernel's trie, alone: what measurements hold ntpguard's rules against.

use super::object::Object;
use anyhow::{Context as _, Result};
use aya::{
    EbpfLoader,
    maps::lpm_trie::{Key, LpmTrie},
};
use std::net::Ipv4Addr;

const TRIE: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/trie"));

/// A program that drops what has a rule.
pub struct Trie(Object);

impl Trie {
    /// Loads it with rules for these prefixes.
    ///
    /// # Errors
    /// No right to, or no memory.
    pub fn load(prefixes: &[(Ipv4Addr, u8)]) -> Result<Self> {
        let entries = u32::try_from(prefixes.len())?.max(1);
        let mut object = Object::load(EbpfLoader::new().map_max_entries("RULES", entries), TRIE)?;
        let mut rules: LpmTrie<_, [u8; 4], u32> = object.0.map_mut("RULES").context("RULES")?.try_into()?;
        for (address, length) in prefixes {
            rules.insert(&Key::new(u32::from(*length), address.octets()), 1, 0).context("RULES is full")?;
        }
        Ok(Self(object))
    }

    /// The kernel's number for its program.
    ///
    /// # Errors
    /// The kernel doesn't report it.
    pub fn id(&self) -> Result<u32> {
        self.0.id()
    }
}
