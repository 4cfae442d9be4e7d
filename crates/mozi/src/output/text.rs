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
