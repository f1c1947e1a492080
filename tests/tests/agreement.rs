//! Random and mutated frames: host and kernel agree on action and counter, and both survive.

use ntpguard::bpf::Object;
use ntpguard_tests::agreement::{Agreement, agreement};

const FRAMES: usize = 100_000;

#[test]
fn host_and_kernel_agree_on_100_000_frames() {
    let Agreement { judged, dropped, kisses, plain, differing, .. } = agreement(Object::Filter, FRAMES);
    println!(
        "{FRAMES} frames: {judged} to port 123, {dropped} dropped, {kisses} kissed; host and kernel differ on {differing}"
    );
    assert_eq!(differing, 0);
    // Had the mutations lost the way to port 123, agreement would be worth nothing.
    assert!(judged > FRAMES / 4 && dropped > FRAMES / 8 && kisses > 10 && plain > FRAMES / 4);
}
