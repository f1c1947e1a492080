//! A program that only looks up in the kernel's LPM trie, with which ntpguard's rules are compared.

use super::object::Object;
use anyhow::{Context as _, Result};
use aya::{
    EbpfLoader,
    maps::lpm_trie::{Key, LpmTrie},
};
use std::net::Ipv4Addr;

const TRIE: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/trie"));

/// A program that drops frames whose source has a rule.
pub struct Trie(Object);

impl Trie {
    /// Loads it with a rule for each of these prefixes.
    ///
    /// # Errors
    /// No right to load a program, or no memory.
    pub fn load(prefixes: &[(Ipv4Addr, u8)]) -> Result<Self> {
        let entries = u32::try_from(prefixes.len())?.max(1);
        let mut object = Object::load(EbpfLoader::new().map_max_entries("RULES", entries), TRIE)?;
        let mut rules: LpmTrie<_, [u8; 4], u32> = object.0.map_mut("RULES").context("RULES")?.try_into()?;
        for (address, length) in prefixes {
            rules.insert(&Key::new(u32::from(*length), address.octets()), 1, 0).context("RULES is full")?;
        }
        Ok(Self(object))
    }

    /// The kernel's id of the program.
    ///
    /// # Errors
    /// The kernel doesn't report it.
    pub fn id(&self) -> Result<u32> {
        self.0.id()
    }
}
