//! A look-up in the kernel's trie, alone: what measurements hold ntpguard's rules against.

use super::{Object, PROGRAM, TestRun, test_run};
use anyhow::{Context as _, Result};
use aya::{
    Ebpf, EbpfLoader,
    maps::lpm_trie::{Key, LpmTrie},
    programs::Xdp,
};
use std::net::Ipv4Addr;

/// A program that drops what has a rule.
pub struct Trie {
    pub(super) ebpf: Ebpf,
}

impl Trie {
    /// Loads it with rules for these prefixes.
    ///
    /// # Errors
    /// No right to, or no memory.
    pub fn load(prefixes: &[(Ipv4Addr, u8)]) -> Result<Self> {
        let entries = u32::try_from(prefixes.len())?.max(1);
        let mut ebpf = EbpfLoader::new().map_max_entries("RULES", entries).load(Object::Trie.bytes())?;
        let program: &mut Xdp = ebpf.program_mut(PROGRAM).context("the program")?.try_into()?;
        program.load()?;
        let mut rules: LpmTrie<_, [u8; 4], u32> = ebpf.map_mut("RULES").context("RULES")?.try_into()?;
        for (address, length) in prefixes {
            rules.insert(&Key::new(u32::from(*length), address.octets()), 1, 0).context("RULES is full")?;
        }
        Ok(Self { ebpf })
    }

    /// As [`super::Guard::test_run`].
    ///
    /// # Errors
    /// As there.
    pub fn test_run(&self, frame: &[u8], repeat: u32) -> Result<TestRun> {
        test_run::test_run(super::load::program(&self.ebpf)?, frame, repeat, None)
    }
}
