//! Text of others as data: in fences and code spans that it cannot close.

/// `text` as a fenced block. The fence is longer than any run of backticks in the text.
pub(super) fn fenced(text: &str) -> String {
    let fence = "`".repeat(longest_run(text).saturating_add(1).max(3));
    let end = if text.ends_with('\n') { "" } else { "\n" };
    format!("{fence}text\n{text}{end}{fence}")
}

/// `text` as a code span of one line. Whatever might end the line becomes a space.
pub(super) fn code(text: &str) -> String {
    let line: String = text.chars().map(|c| if breaks_line(c) { ' ' } else { c }).collect();
    let ticks = "`".repeat(longest_run(&line).saturating_add(1));
    let edge = |c: char| matches!(c, '`' | ' ');
    let pad = if line.is_empty() || line.starts_with(edge) || line.ends_with(edge) { " " } else { "" };
    format!("{ticks}{pad}{line}{pad}{ticks}")
}

/// Texts as one numbered list in a fence; further lines of an entry are indented.
pub(super) fn numbered(items: &[String]) -> String {
    let list: Vec<String> = items
        .iter()
        .zip(1u32..)
        .map(|(item, n)| format!("{n}. {}", item.trim_end().replace('\n', "\n   ")))
        .collect();
    fenced(&list.join("\n"))
}

fn breaks_line(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

fn longest_run(text: &str) -> usize {
    let mut longest = 0usize;
    let mut run = 0usize;
    for c in text.chars() {
        run = if c == '`' { run.saturating_add(1) } else { 0 };
        longest = longest.max(run);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_its_fence() {
        assert_eq!(fenced("a"), "```text\na\n```");
        assert_eq!(fenced("a\n"), "```text\na\n```");
        assert_eq!(fenced("x\n```\ny"), "````text\nx\n```\ny\n````");
        assert_eq!(fenced("`````"), "``````text\n`````\n``````");
    }

    #[test]
    fn no_text_ends_its_code_span() {
        assert_eq!(code("a b"), "`a b`");
        assert_eq!(code("a`b"), "``a`b``");
        assert_eq!(code("``"), "``` `` ```");
        assert_eq!(code(""), "`  `");
        assert_eq!(code("a\u{2028}b\nc"), "`a b c`");
    }

    #[test]
    fn lists_keep_their_entries_apart() {
        assert_eq!(numbered(&["a\nb".into(), "c".into()]), "```text\n1. a\n   b\n2. c\n```");
    }
}
