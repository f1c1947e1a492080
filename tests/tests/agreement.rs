//! Random and mutated frames: the host and the kernel agree on action and counter, and neither crashes.
//!
//! `FRAMES=2000000 SEED=987654321 cargo test -p ntpguard-tests --test agreement` compares more frames, and different ones.

use ntpguard::bpf::Object;
use ntpguard_tests::agreement::{Agreement, agreement, frames};

#[test]
fn host_and_kernel_agree() {
    let frames = frames(100_000);
    let Agreement { judged, dropped, kisses, plain, associated, uncertain, differing, .. } =
        agreement(Object::Filter, frames);
    println!(
        "{frames} frames: {judged} to port 123, {dropped} dropped, {kisses} kissed; {associated} judged by the entry of an \
         association, {uncertain} by one that may be; host and kernel differ on {differing}"
    );
    assert_eq!(differing, 0);
    // If mutated frames didn't reach port 123 any more, agreement would prove nothing.
    assert!(judged > frames / 4 && dropped > frames / 8 && kisses > 10 && plain > frames / 4);
    assert!(associated > frames / 40 && uncertain > frames / 4000);
}
