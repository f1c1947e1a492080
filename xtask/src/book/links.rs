//! Checks of the links between the book's pages, and of its table of contents.

use std::{
    collections::BTreeSet,
    fs,
    path::{Component, Path, PathBuf},
};

/// A page: all that checking its links needs.
pub(super) struct Page {
    /// The page's file.
    pub(super) path: PathBuf,
    /// The page's text.
    pub(super) text: String,
}

/// The faults of a page's links; `root` is the folder that they may not leave.
pub(super) fn wrong(page: &Page, root: &Path) -> Vec<String> {
    targets(&page.text).into_iter().filter_map(|target| fault(page, &target, root)).collect()
}

fn fault(page: &Page, target: &str, root: &Path) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let file = match path {
        "" => page.path.clone(),
        path => normal(&page.path.parent()?.join(path)),
    };
    if !file.starts_with(root) {
        return Some(format!("`{target}` leads out of {}", root.display()));
    }
    if !file.exists() {
        return Some(format!("`{target}`: there is no such file"));
    }
    let anchor = anchor?;
    let text = fs::read_to_string(&file).unwrap_or_default();
    (!anchors(&text).contains(anchor)).then(|| format!("`{target}`: no heading has this anchor"))
}

/// The pages that the table of contents doesn't list exactly once.
pub(super) fn unlisted(summary: &Page, pages: &[Page]) -> Vec<String> {
    let folder = summary.path.parent().unwrap_or(Path::new(""));
    let listed: Vec<_> = targets(&summary.text).iter().map(|target| normal(&folder.join(target))).collect();
    let count = |page: &&Page| listed.iter().filter(|&path| *path == page.path).count();
    let pages = pages.iter().filter(|page| page.path != summary.path);
    let wrong = pages.filter(|page| count(page) != 1);
    wrong.map(|page| format!("{} is listed {} times", page.path.display(), count(&page))).collect()
}

/// The lines outside fenced blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// The targets of a page's links.
fn targets(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in prose(text) {
        // Code spans, the odd parts between backticks, contain no links, but may be the text of one.
        let parts = line.split('`').enumerate();
        let line: String = parts.map(|(place, part)| if place % 2 == 0 { part } else { "code" }).collect();
        let mut rest = line.as_str();
        while let Some((_, behind)) = rest.split_once("](") {
            let Some((target, left)) = behind.split_once(')') else { break };
            found.push(target.to_owned());
            rest = left;
        }
    }
    found
}

/// The anchors of a page's headings, as mdBook and GitHub make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for heading in prose(text).filter(|line| line.starts_with('#')) {
        let heading = heading.trim_start_matches('#').trim();
        let anchor: String = heading
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() })
            .collect();
        let next = (1..).map(|number| format!("{anchor}-{number}")).find(|next| !found.contains(next));
        let next = if found.contains(&anchor) { next } else { Some(anchor) };
        found.extend(next);
    }
    found
}

/// The path with `..` and `.` resolved.
fn normal(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut normal, part| {
        match part {
            Component::ParentDir => drop(normal.pop()),
            Component::CurDir => (),
            part => normal.push(part),
        }
        normal
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_headings_are_found() {
        let text = "# A `b` (c)\n\n[x](y.md#z) `[no](no.md)` [`code`](https://example.org)\n\n```text\n# no\n[no](no)\n```\n\n## Two\n## Two\n";
        assert_eq!(targets(text), ["y.md#z", "https://example.org"]);
        assert_eq!(anchors(text), ["a-b-c", "two", "two-1"].map(str::to_owned).into());
    }

    #[test]
    fn broken_links_are_found() {
        let page = Page {
            path: Path::new(env!("CARGO_MANIFEST_DIR")).join("src/book/page.md"),
            text: "# Here\n[a](mod.rs) [b](#here) [c](none.md) [d](#there) [e](../../Cargo.toml) [f](https://x.org/#y)"
                .to_owned(),
        };
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        // The page itself doesn't exist, so it has no headings.
        let wrong = wrong(&page, &root);
        let broken: Vec<_> = wrong.iter().filter_map(|wrong| wrong.split('`').nth(1)).collect();
        assert_eq!(broken, ["#here", "none.md", "#there", "../../Cargo.toml"]);
    }

    #[test]
    fn the_table_of_contents_is_whole() {
        let page = |path: &str, text: &str| Page { path: path.into(), text: text.to_owned() };
        let summary = page("docs/SUMMARY.md", "- [a](a.md)\n- [b](b/b.md)\n- [b](b/b.md)\n");
        let pages = [page("docs/a.md", ""), page("docs/b/b.md", ""), page("docs/c.md", "")];
        assert_eq!(
            unlisted(&summary, &pages),
            ["docs/b/b.md is listed 2 times", "docs/c.md is listed 0 times"]
        );
    }
}
