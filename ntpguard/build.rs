//! Builds the filter's programs for the BPF target; `src/bpf` embeds them.

#[path = "../ntpguard-ebpf/objects.rs"]
mod objects;

fn main() -> anyhow::Result<()> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../ntpguard-ebpf");
    objects::build("ntpguard-ebpf", folder, &["ntpguard-xdp", "ntpguard-xdp-trace", "ntpguard-tc"])
}
