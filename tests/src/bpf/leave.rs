//! Programs at the egress of a cgroup: the one that learns associations, and one that only passes.

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf, TestRun as _, TestRunOptions,
    maps::Array,
    programs::{CgroupSkb, Program},
};
use ntpguard::bpf::Object;
use ntpguard_common::{abi::PolicyWord, associations::Template};
use std::time::Duration;

const PASS: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/leave"));

/// A loaded program that isn't attached.
pub struct Leave {
    ebpf: Ebpf,
    name: &'static str,
}

impl Leave {
    /// A program that only passes.
    ///
    /// # Errors
    /// No right to load a program.
    pub fn passing() -> Result<Self> {
        Self { ebpf: Ebpf::load(PASS)?, name: "ntpguard" }.loaded()
    }

    /// The program that learns, with a policy for which every request opens an association. The result is the kernel's
    /// refusal, if it refuses the program.
    ///
    /// # Errors
    /// No right to load a program.
    pub fn learning(name: &'static str) -> Result<Self> {
        let mut ebpf = Ebpf::load(Object::Filter.bytes())?;
        let word = PolicyWord { flags: PolicyWord::INSTALLED, generation: 0 }.to_word();
        let mut words: Array<_, u64> = ebpf.map_mut("POLICY").context("POLICY")?.try_into()?;
        words.set(0, word, 0)?;
        let template = Template { lifts: 0, opening: 0b10_1010, uncertain: 0 }.to_words();
        let mut templates: Array<_, [u32; 3]> = ebpf.map_mut("TEMPLATES").context("TEMPLATES")?.try_into()?;
        templates.set(0, template, 0)?;
        Self { ebpf, name }.loaded()
    }

    fn loaded(mut self) -> Result<Self> {
        let program: &mut CgroupSkb = self.ebpf.program_mut(self.name).context(self.name)?.try_into()?;
        program.load()?;
        Ok(self)
    }

    /// The mean time that it takes for a frame.
    ///
    /// # Errors
    /// The kernel doesn't run it.
    pub fn test_run(&self, frame: &[u8], repeat: u32) -> Result<Duration> {
        let Some(Program::CgroupSkb(program)) = self.ebpf.program(self.name) else {
            anyhow::bail!("there is no program {}", self.name)
        };
        let mut out = vec![0; frame.len()];
        let options =
            TestRunOptions { data_in: Some(frame), data_out: Some(&mut out), repeat, ..Default::default() };
        let result = program.test_run(options)?;
        ensure!(result.return_value == 1, "a packet that leaves always passes");
        Ok(result.duration)
    }
}
