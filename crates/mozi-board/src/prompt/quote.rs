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
    let ticks = "`".repeat(match longest_run(&line) {
        0 => 1,
        n => n.saturating_add(1),
    });
    let edge = |c: char| matches!(c, '`' | ' ');
    let pad = if line.is_empty() || line.starts_with(edge) || line.ends_with(edge) { " " } else { "" };
    format!("{ticks}{pad}{line}{pad}{ticks}")
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
