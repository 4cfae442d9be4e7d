//! Text in columns: Chinese characters take two of them.

use unicode_width::UnicodeWidthStr as _;

/// How many columns a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// The text on one line and in at most `max` columns.
pub(crate) fn clip(text: &str, max: usize) -> String {
    let line = one_line(text);
    if width(&line) <= max {
        return line;
    }
    let mut clipped = String::new();
    let mut used = 0;
    for c in line.chars() {
        let w = unicode_width::UnicodeWidthChar::width(c).unwrap_or(0);
        if used + w + 1 > max {
            break;
        }
        used += w;
        clipped.push(c);
    }
    if max > 0 {
        clipped.push('…');
    }
    clipped
}

/// The text without line breaks and without anything that a terminal would act on.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}

/// The text on lines of at most `max` columns, broken between words where there are any, so many lines at most.
pub(crate) fn wrap(text: &str, max: usize, lines: usize) -> Vec<String> {
    let max = max.max(8);
    let text = one_line(text);
    let mut wrapped: Vec<String> = Vec::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        if wrapped.len() + 1 == lines {
            wrapped.push(clip(rest, max));
            break;
        }
        let (line, left) = rest.split_at(first_line(rest, max));
        wrapped.push(line.trim_end().to_owned());
        rest = left.trim_start();
    }
    wrapped
}

/// How many bytes of a text fit into `max` columns: up to a space, or between characters that need none.
fn first_line(text: &str, max: usize) -> usize {
    let (mut used, mut end, mut good) = (0, 0, 0);
    let mut wide_before = false;
    for (at, c) in text.char_indices() {
        let w = unicode_width::UnicodeWidthChar::width(c).unwrap_or(0);
        // A line may also end before and behind a wide character, but for closing marks.
        let closes =
            matches!(c, '，' | '。' | '、' | '；' | '：' | '！' | '？' | '）' | '】' | '》' | '”' | '’');
        if c == ' ' || (!closes && at > 0 && (w == 2 || wide_before)) {
            good = at;
        }
        if used + w > max {
            return if good > 0 { good } else { end.max(c.len_utf8().min(text.len())) };
        }
        used += w;
        end = at + c.len_utf8();
        wide_before = w == 2;
    }
    end
}

/// A text of several lines, each of them wrapped; so many at most, and then how many are left out.
pub(crate) fn text_lines(text: &str, max: usize, lines: usize) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for line in text.lines() {
        // What stands behind blanks, as code does, keeps them.
        let blanks = line.len() - line.trim_start_matches(' ').len();
        let blanks = blanks.min(max / 2);
        if line.trim().is_empty() {
            all.push(String::new());
        }
        let gap = " ".repeat(blanks);
        all.extend(
            wrap(line, max.saturating_sub(blanks), usize::MAX).into_iter().map(|l| format!("{gap}{l}")),
        );
    }
    if all.len() > lines {
        let left = all.len() - lines;
        all.truncate(lines);
        all.push(format!("… {left} more lines"));
    }
    all
}

/// The text filled up to `columns`.
pub(crate) fn pad(text: &str, columns: usize) -> String {
    let missing = columns.saturating_sub(width(text));
    format!("{text}{}", " ".repeat(missing))
}

/// `17 B`, `4.2 KiB`, `1.0 GiB`.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let (mut tenths, mut unit) = (u128::from(n) * 10 / 1024, 0);
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS.get(unit).copied().unwrap_or("TiB"))
}

/// Millionths of a dollar as dollars.
pub(crate) fn money(micro_usd: i64) -> String {
    let cents = micro_usd.unsigned_abs() / 100;
    let sign = if micro_usd < 0 { "-" } else { "" };
    format!("{sign}${}.{:04}", cents / 10_000, cents % 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clipping_counts_columns() {
        assert_eq!(clip("hello", 5), "hello");
        assert_eq!(clip("hello world", 6), "hello…");
        assert_eq!(clip("修复登录页面", 12), "修复登录页面");
        assert_eq!(clip("修复登录页面", 8), "修复登…");
        assert_eq!(width(&clip("修复登录页面", 8)), 7);
        assert_eq!(clip("a\nb\u{1b}[31m", 20), "a b [31m");
        assert_eq!(clip("abc", 0), "");
    }

    #[test]
    fn wrapping_breaks_between_words_and_wide_characters() {
        assert_eq!(wrap("one two three four", 9, 9), ["one two", "three", "four"]);
        assert_eq!(wrap("one two three four", 9, 2), ["one two", "three fo…"]);
        assert_eq!(wrap("修复登录页面的问题，并写测试", 10, 9), ["修复登录页", "面的问题，", "并写测试"]);
        assert_eq!(wrap("see 修复登录页面", 10, 9), ["see 修复登", "录页面"]);
        assert_eq!(wrap("abcdefghijklmnop", 8, 9), ["abcdefgh", "ijklmnop"]);
        assert_eq!(wrap("", 8, 9), [""; 0]);
        for line in wrap("a long line with 中文 in it，and 更多的中文字符 that goes on", 12, 99) {
            assert!(width(&line) <= 12, "{line:?}");
        }
    }

    #[test]
    fn lines_of_a_text_stay_lines() {
        assert_eq!(text_lines("a b\n\n    code here\nend", 20, 9), ["a b", "", "    code here", "end"]);
        assert_eq!(text_lines("a\nb\nc\nd", 20, 2), ["a", "b", "… 2 more lines"]);
        assert_eq!(text_lines("red \u{1b}[31m", 20, 2), ["red  [31m"]);
    }

    #[test]
    fn padding_counts_columns() {
        assert_eq!(pad("修复", 6), "修复  ");
        assert_eq!(pad("abc", 2), "abc");
    }

    #[test]
    fn sizes_and_money_are_short() {
        assert_eq!((bytes(0), bytes(1023)), ("0 B".into(), "1023 B".into()));
        assert_eq!((bytes(4300), bytes(5 << 30)), ("4.1 KiB".into(), "5.0 GiB".into()));
        assert_eq!((money(40_128), money(12_345_678)), ("$0.0401".into(), "$12.3456".into()));
    }
}
