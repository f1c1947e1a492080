//! Builds the programs that only measure for the BPF target; `src/bpf` embeds them.

#[path = "../ntpguard-ebpf/objects.rs"]
mod objects;

fn main() -> anyhow::Result<()> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/ebpf");
    objects::build("ntpguard-tests-ebpf", folder, &["floor", "pass", "leave", "flood", "spray", "trie"])
}
