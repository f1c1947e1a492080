//! The vectors seen on real daemons (4.2.6p5, 4.2.8p18, NTPsec 1.2.2): soundness, for whichever daemon it is.
//!
//! Until ntpguard knows which daemon stands behind it, it may drop only what all three discard.

use ntpguard::compile::Hardening;
use ntpguard_common::{Action, decide};
use ntpguard_tests::{fixture::compile, frame::Frame};
use serde_json::Value;
use std::{fs, path::Path};

#[test]
fn nothing_is_dropped_that_any_daemon_takes() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/restrict-vectors.jsonl");
    let (mut vectors, mut dropped, mut left) = (0, 0, 0);
    for line in fs::read_to_string(file).unwrap().lines() {
        let vector: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| vector[key].as_str().unwrap();
        let conf = tempfile::NamedTempFile::new().unwrap();
        fs::write(conf.path(), text("conf")).unwrap();
        let compiled = compile(Some(conf.path()), Hardening::NONE).unwrap();
        let port = vector["sport"].as_u64().unwrap() as u16;
        let frame = Frame::from(text("src"), port).payload(&bytes(text("payload_hex"))).build();
        let verdicts = ["ntp426", "ntp428", "ntpsec"].map(|daemon| vector[daemon].as_str());
        let all_drop = verdicts.iter().all(|verdict| *verdict == Some("drop"));
        let decision = decide(frame.as_slice(), &compiled.image);
        if decision.action() == Action::Drop {
            dropped += 1;
            assert!(all_drop, "{}: {decision:?}, but the daemons: {verdicts:?}", text("id"));
        } else if all_drop {
            left += 1;
            println!("left to the daemons: {}", text("id"));
        }
        vectors += 1;
    }
    println!(
        "{vectors} vectors: {dropped} dropped, all rightly; {left} more that all daemons discard are left to them"
    );
    assert!(vectors >= 160 && dropped >= 15);
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}
