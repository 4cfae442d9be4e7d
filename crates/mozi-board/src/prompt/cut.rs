//! Long texts made short: from the front, from the end, into one line.

/// At most `max` bytes from the beginning, and how many bytes are left out.
pub(super) fn head(text: &str, max: usize) -> (&str, usize) {
    if text.len() <= max {
        return (text, 0);
    }
    let at = (0..=max).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    let (head, rest) = text.split_at(at);
    (head, rest.len())
}

/// At most `max` bytes and `lines` lines from the end; a line that was cut into is left out, unless it is the only
/// one.
pub(super) fn tail(text: &str, max: usize, lines: usize) -> &str {
    let text = text.trim_end();
    let from = text.len().saturating_sub(max);
    let from = (from..=text.len()).find(|i| text.is_char_boundary(*i)).unwrap_or(text.len());
    let (before, mut end) = text.split_at(from);
    if !before.is_empty() && !before.ends_with('\n') {
        end = end.split_once('\n').map_or(end, |(_, whole)| whole);
    }
    match end.rmatch_indices('\n').nth(lines.saturating_sub(1)) {
        Some((at, _)) => end.split_at(at).1.trim_start_matches('\n'),
        None => end,
    }
}

/// One line of at most `max` characters.
pub(super) fn line(text: &str, max: usize) -> String {
    let mut words = String::new();
    for (i, word) in text.split_whitespace().enumerate() {
        if i > 0 {
            words.push(' ');
        }
        words.push_str(word);
    }
    match words.char_indices().nth(max) {
        Some((at, _)) => format!("{}…", words.split_at(at).0),
        None => words,
    }
}

/// What a terminal would show of the end of a log: no escape sequences, no control characters, and of a line that was
/// written over again and again only its last state.
pub(super) fn plain(log: &str) -> String {
    let mut out = String::with_capacity(log.len());
    for line in log.split('\n') {
        let line = line.trim_end_matches('\r');
        let line = line.rsplit('\r').next().unwrap_or(line);
        let mut chars = line.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\u{1b}' => skip_escape(&mut chars),
                '\t' => out.push('\t'),
                c if c.is_control() => {}
                c => out.push(c),
            }
        }
        out.push('\n');
    }
    out.pop();
    out
}

fn skip_escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.next() {
        // CSI: parameters, then one letter.
        Some('[') => while chars.next().is_some_and(|c| !('\u{40}'..='\u{7e}').contains(&c)) {},
        // OSC: up to BEL or ESC \.
        Some(']') => {
            while let Some(c) = chars.next() {
                if c == '\u{7}' {
                    return;
                }
                if c == '\u{1b}' {
                    if chars.peek() == Some(&'\\') {
                        let _backslash = chars.next();
                    }
                    return;
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_end_between_characters() {
        assert_eq!(head("abc", 3), ("abc", 0));
        assert_eq!(head("墨子", 4), ("墨", 3));
        assert_eq!(head("墨子", 0), ("", 6));
    }

    #[test]
    fn tails_begin_with_whole_lines() {
        assert_eq!(tail("one\ntwo\nthree\n", 100, 2), "two\nthree");
        assert_eq!(tail("one\ntwo\nthree\n", 6, 9), "three");
        assert_eq!(tail("one\ntwo\nthree\n", 9, 9), "two\nthree");
        assert_eq!(tail("a long line", 4, 9), "line");
        assert_eq!(tail("墨子墨子", 5, 9), "子");
        assert_eq!(tail("\n\n", 5, 9), "");
    }

    #[test]
    fn lines_are_one_line() {
        assert_eq!(line(" a \n\n b\tc ", 9), "a b c");
        assert_eq!(line("墨子兼爱", 2), "墨子…");
    }

    #[test]
    fn logs_are_shown_as_a_terminal_shows_them() {
        assert_eq!(
            plain("\u{1b}[1;31mred\u{1b}[0m\tx\u{7}\r\n10%\r99%\r\n\u{1b}]0;t\u{7}end"),
            "red\tx\n99%\nend"
        );
        assert_eq!(plain("\u{1b}]8;;http://x\u{1b}\\link\u{1b}["), "link");
    }
}
