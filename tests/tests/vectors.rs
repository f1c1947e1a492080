//! Vectors recorded on real daemons (4.2.6p5, 4.2.8p18, NTPsec 1.2.2), judged by `ntpguard explain`: each verdict is the
//! daemon's own, in the kernel and on the host.

use ntpguard_tests::{fixture::OWN, guard::binary};
use serde_json::Value;
use std::{fs, path::Path, process::Command, time::Instant};

#[test]
fn every_vector_agrees_in_every_dialect_and_engine() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/restrict-vectors.jsonl");
    let lines = fs::read_to_string(&file).unwrap();
    let vectors: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (dialect, key) in [("ntp-4.2.6", "ntp426"), ("ntp-4.2.8", "ntp428"), ("ntpsec", "ntpsec")] {
        for engine in ["host", "kernel"] {
            let start = Instant::now();
            let mut command = Command::new(binary().unwrap());
            command.args([
                "explain",
                "--dialect",
                dialect,
                "--no-hardening",
                "--engine",
                engine,
                "--vectors",
            ]);
            command.arg(&file).args(OWN.map(|address| format!("--local-address={address}")));
            let output = command.output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let answers = String::from_utf8(output.stdout).unwrap();
            let answers: Vec<Value> =
                answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(answers.len(), vectors.len());
            let (mut compared, mut trains) = (0, 0);
            for (vector, answer) in vectors.iter().zip(&answers) {
                assert_eq!((&answer["id"], &answer["engine"]), (&vector["id"], &engine.into()));
                let wanted = &vector[key];
                if wanted.is_null() {
                    continue;
                }
                assert_eq!(&answer["verdict"], wanted, "{dialect}, {engine}: {vector}, but {answer}");
                compared += 1;
                trains += usize::from(!vector["repeat"].is_null());
            }
            println!(
                "{dialect}, {engine}: {compared} vectors agree, {trains} with `repeat`; {:.0?} for all",
                start.elapsed()
            );
            assert!(compared >= 150 && trains == 8);
        }
    }
}
