//! Runs the commands of the book and of the README, as their readers type them.

#[path = "../../xtask/src/book/blocks.rs"]
mod blocks;

use blocks::{Block, Step, blocks};
use ntpguard_tests::{
    netns::Lab,
    reader::{Reader, missing},
};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

/// The paths of all pages and of the README.
fn pages() -> Vec<PathBuf> {
    fn read(folder: &Path, pages: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(&path, pages);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut pages = vec![root.join("README.md")];
    read(&root.join("docs/src"), &mut pages);
    pages.sort();
    pages
}

#[test]
fn every_command_does_what_is_shown() {
    let lab = Lab::new().unwrap();
    let mut reader = Reader::new(&lab).unwrap();
    let (mut wrong, mut ran) = (Vec::new(), 0);
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let blocks = blocks(&text).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
        let before = ran;
        for block in blocks.iter().filter(|block| block.shown.is_none()) {
            ran += commands(&mut reader, block, &page, &mut wrong);
        }
        // Each page is read as if it were the only one.
        if ran > before {
            reader.turns_the_page().unwrap();
        }
    }
    println!("{ran} commands");
    assert!(ran > 0);
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Runs the commands of a block, and records what is wrong with them; returns how many it has run.
fn commands(reader: &mut Reader<'_>, block: &Block, page: &Path, wrong: &mut Vec<String>) -> usize {
    let mut ran = 0;
    for step in &block.steps {
        let Step::Command(line, shown) = step else {
            reader.interrupt().unwrap();
            continue;
        };
        ran += 1;
        let name = page.file_name().unwrap().to_string_lossy();
        let place = format!("{name}:{}: `{line}`", block.line);
        let start = Instant::now();
        let outcome = reader.types(line);
        println!("{:5.1} s {place}", start.elapsed().as_secs_f64());
        match outcome {
            Err(error) => wrong.push(format!("{place}: {error:#}")),
            Ok(outcome) if outcome.code != Some(block.exit) => {
                wrong.push(format!(
                    "{place} ended with {:?}, not {}:\n{}",
                    outcome.code, block.exit, outcome.output
                ));
            }
            Ok(outcome) => {
                if let Some(line) = missing(shown, &outcome.output) {
                    wrong.push(format!("{place} doesn't write `{line}`, but:\n{}", outcome.output));
                }
            }
        }
    }
    ran
}
