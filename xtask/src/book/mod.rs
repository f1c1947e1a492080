//! `cargo xtask book`: checks whether the book is complete, lists the commands that are only shown, and builds the pages.
//!
//! The check is part of this program, since it has to run everywhere; mdBook takes minutes to build, and is installed only
//! to build the pages.

mod blocks;
mod links;

use crate::run::{lab, root, run};
use anyhow::{Context as _, Result, bail};
use links::Page;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The release of mdBook that the book is made for.
const MDBOOK: &str = "0.5.4";

/// Checks the book, and builds it unless only the `check` is wanted.
pub(crate) fn book(check: bool) -> Result<()> {
    let shown = checked()?;
    println!("{} blocks of commands are shown and not run:", shown.len());
    shown.iter().for_each(|shown| println!("  {shown}"));
    if check { Ok(()) } else { build() }
}

/// Checks pages, links and blocks, and returns the blocks that are shown but not run.
pub(crate) fn checked() -> Result<Vec<String>> {
    let folder = root().join("docs/src");
    let mut pages = Vec::new();
    read(&folder, &mut pages)?;
    let mut wrong = Vec::new();
    for page in &pages {
        wrong.extend(links::wrong(page, &folder).iter().map(|wrong| told(page, wrong)));
    }
    let summary = pages.iter().find(|page| page.path.ends_with("SUMMARY.md")).context("no SUMMARY.md")?;
    wrong.extend(links::unlisted(summary, &pages));
    let readme = root().join("README.md");
    let readme = Page { text: fs::read_to_string(&readme)?, path: readme };
    wrong.extend(links::wrong(&readme, root()).iter().map(|wrong| told(&readme, wrong)));
    pages.push(readme);

    let mut shown = Vec::new();
    for page in &pages {
        match blocks::blocks(&page.text) {
            Ok(blocks) => {
                shown.extend(blocks.iter().filter_map(|block| {
                    Some(told(page, &format!("{}: {}", block.line, block.shown.as_ref()?)))
                }))
            }
            Err(error) => wrong.push(told(page, &error.to_string())),
        }
    }
    if !wrong.is_empty() {
        bail!("the book isn't whole:\n  {}", wrong.join("\n  "));
    }
    Ok(shown)
}

/// A message about a page, with the page's name.
fn told(page: &Page, what: &str) -> String {
    format!("{}: {what}", page.path.strip_prefix(root()).unwrap_or(&page.path).display())
}

fn read(folder: &Path, pages: &mut Vec<Page>) -> Result<()> {
    let mut entries: Vec<_> = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            read(&path, pages)?;
        } else if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(Page { text: fs::read_to_string(&path)?, path });
        }
    }
    Ok(())
}

/// Builds the pages; a warning by mdBook is a failure.
fn build() -> Result<()> {
    let output = Command::new(mdbook()?).arg("build").arg(root().join("docs")).output()?;
    let said =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    eprint!("{said}");
    if !output.status.success() || said.contains("WARN") || said.contains("ERROR") {
        bail!("mdBook isn't content");
    }
    println!("{}", root().join("target/book/index.html").display());
    Ok(())
}

/// The path of mdBook: the installed one, or else one that is built below target/lab.
fn mdbook() -> Result<PathBuf> {
    if Command::new("mdbook").arg("--version").output().is_ok() {
        return Ok("mdbook".into());
    }
    let folder = lab().join("mdbook");
    let built = folder.join("bin/mdbook");
    if !built.exists() {
        println!("==> mdBook {MDBOOK}, which takes some minutes to build");
        let install =
            ["install", "mdbook", "--version", MDBOOK, "--locked", "--no-default-features", "--root"];
        run(Command::new("cargo").args(install).arg(folder))?;
    }
    Ok(built)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_book_is_whole() {
        let shown = super::checked().unwrap();
        assert!(!shown.is_empty());
    }
}
