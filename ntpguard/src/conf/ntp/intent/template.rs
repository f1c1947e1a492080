//! Lines with placeholders of a template that was never rendered: `{{ name }}`, `<%= name %>`, `${NAME}`, `@NAME@`,
//! `__NAME__`.

use crate::conf::{
    diagnostic::{Code, Diagnostic},
    ntp::{ConfFile, Place, Span, line::Line},
};

/// How a placeholder begins and ends, and which tools render it.
const BRACKETS: [(&str, &str, &str); 5] = [
    ("{{", "}}", "Jinja, Ansible, Salt or a Go template"),
    ("{%", "%}", "Jinja, Ansible or Salt"),
    ("<%", "%>", "ERB, Puppet or Chef"),
    ("${", "}", "envsubst or the shell"),
    ("$(", ")", "the shell"),
];

/// Marks on both sides of a placeholder whose name is in capitals, which distinguishes it from email addresses and the
/// like.
const MARKS: [(&str, &str); 2] = [
    ("@", "what replaces such names, as configure and sed do"),
    ("__", "what replaces such names, as sed does"),
];

/// Reports the first placeholder outside comments.
pub(crate) fn check(conf: &mut ConfFile, line: &Line<'_>) {
    // Few lines contain any of these bytes, and there may be a million lines.
    let has = |bytes: &[u8]| line.text.iter().any(|byte| bytes.contains(byte));
    // A command of several lines is one after `simulate`, which is lost anyway.
    if !has(b"{<$@_") || has(b"\n") {
        return;
    }
    let text = before_comment(line.text);
    let Some((start, length, filler)) = placeholder(text) else { return };
    let span = Span { line: line.number, column: line.column + start + 1, length };
    let shown = String::from_utf8_lossy(&text[start..start + length]).replace(char::is_control, " ");
    let message = format!(
        "`{shown}` is a placeholder that was never filled in: the daemon reads its characters as they stand"
    );
    let help = format!("make the file by {filler}, and check what comes out");
    conf.list
        .diagnostics
        .push(Diagnostic::at(Code::Template, Place { file: line.file, span }, message).help(help));
}

/// A line without its comment. A `#` within quotes doesn't begin one.
fn before_comment(text: &[u8]) -> &[u8] {
    let mut quoted = false;
    let comment = text.iter().position(|byte| {
        quoted ^= *byte == b'"';
        *byte == b'#' && !quoted
    });
    &text[..comment.unwrap_or(text.len())]
}

/// The first placeholder: its offset, its length, and the tools that render it.
fn placeholder(text: &[u8]) -> Option<(usize, usize, &'static str)> {
    let brackets = BRACKETS.iter().filter_map(|(open, close, filler)| {
        let start = find(text, open.as_bytes())?;
        let length = find(&text[start + open.len()..], close.as_bytes())? + open.len() + close.len();
        Some((start, length, *filler))
    });
    let marks = MARKS.iter().filter_map(|(mark, filler)| {
        let (start, length) = marked(text, mark.as_bytes())?;
        Some((start, length, *filler))
    });
    brackets.chain(marks).min_by_key(|(start, ..)| *start)
}

/// Offset and length of the first name in capitals that stands between two marks.
fn marked(text: &[u8], mark: &[u8]) -> Option<(usize, usize)> {
    (0..text.len()).find_map(|start| {
        let rest = text[start..].strip_prefix(mark)?;
        let name = rest.iter().take_while(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_')).count();
        // The mark's characters may occur in the name as well.
        let name = (1..=name).find(|end| rest[*end..].starts_with(mark) && rest[0].is_ascii_uppercase())?;
        Some((start, name + 2 * mark.len()))
    })
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders() {
        for (line, found) in [
            ("server {{ ntp_server }} iburst", Some("{{ ntp_server }}")),
            ("{% for server in ntp_servers %}", Some("{% for server in ntp_servers %}")),
            ("restrict <%= @network %> mask <%= @mask %>", Some("<%= @network %>")),
            ("server ${NTP_SERVER:-pool.example.net}", Some("${NTP_SERVER:-pool.example.net}")),
            ("driftfile \"@localstatedir@/ntp.drift\"", None),
            ("driftfile @LOCALSTATEDIR@/ntp.drift", Some("@LOCALSTATEDIR@")),
            ("server __NTP_SERVER__ iburst", Some("__NTP_SERVER__")),
            ("server $(hostname)", Some("$(hostname)")),
            // Comments, and a `#` in quotes, which isn't one.
            ("# {{ ansible_managed }}", None),
            ("server 192.0.2.1 # @SERVER@", None),
            ("keys \"/etc/a#b@KEYS@\"", Some("@KEYS@")),
            ("server a__b.example.net", None),
            ("crypto pw $6$__a", None),
            ("setvar mail = root@EXAMPLE", None),
            ("simulate { server = 192.0.2.1 { duration = 1 } }", None),
        ] {
            let bytes = before_comment(line.as_bytes());
            let shown = placeholder(bytes).map(|(start, length, _)| &line[start..start + length]);
            assert_eq!(shown, found, "{line}");
        }
    }
}
