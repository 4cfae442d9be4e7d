//! Tables that fit the terminal.

use super::{Out, Paint, paint_of, text};

/// Rows under a head; the last column takes what room is left and is cut to it.
pub(crate) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    /// The column whose words have colours.
    status: Option<usize>,
    /// The column that is cut; else the last.
    flexible: Option<usize>,
    /// The head names the columns for colours and cutting only, and is not shown.
    bare: bool,
}

impl Table {
    pub(crate) fn new(head: &[&'static str]) -> Self {
        let status = head.iter().position(|h| *h == "STATUS" || *h == "OUTCOME" || *h == "STATE");
        Self {
            head: head.to_vec(),
            rows: Vec::new(),
            status,
            flexible: head.iter().position(|h| *h == "TITLE"),
            bare: false,
        }
    }

    /// A table without its head.
    pub(crate) fn bare(head: &[&'static str]) -> Self {
        Self { bare: true, ..Self::new(head) }
    }

    #[expect(clippy::needless_pass_by_value, reason = "cells are made for the table")]
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells.iter().map(|c| text::one_line(c)).collect());
    }

    pub(crate) fn lines(&self, out: Out) -> Vec<String> {
        self.lines_within(out, 0)
    }

    /// The lines, to stand behind so many columns.
    pub(crate) fn lines_within(&self, out: Out, indent: usize) -> Vec<String> {
        let columns = self.head.len();
        let widest = |i: usize| {
            let cells = self.rows.iter().filter_map(|r| r.get(i)).map(|c| text::width(c));
            cells.chain(self.head.get(i).filter(|_| !self.bare).map(|h| text::width(h))).max().unwrap_or(0)
        };
        let mut widths: Vec<usize> = (0..columns).map(widest).collect();
        let flexible = self.flexible.unwrap_or_else(|| columns.saturating_sub(1));
        if let Some(room) = out.width() {
            let gaps = 2 * columns.saturating_sub(1);
            let others: usize =
                widths.iter().enumerate().filter(|(i, _)| *i != flexible).map(|(_, w)| w).sum();
            if let Some(w) = widths.get_mut(flexible) {
                *w = (*w).min(room.saturating_sub(others + gaps + indent).max(8));
            }
        }
        let head: Vec<String> = self.head.iter().map(|h| (*h).to_owned()).collect();
        let mut lines = Vec::new();
        if !self.bare {
            lines.push(self.line(out, &head, &widths, true));
        }
        lines.extend(self.rows.iter().map(|r| self.line(out, r, &widths, false)));
        lines
    }

    fn line(&self, out: Out, cells: &[String], widths: &[usize], head: bool) -> String {
        let last = widths.len().saturating_sub(1);
        let mut line = String::new();
        for (i, (cell, width)) in cells.iter().zip(widths).enumerate() {
            let fitted = text::clip(cell, *width);
            let padded = if i == last { fitted.clone() } else { text::pad(&fitted, *width) };
            let painted = if head {
                out.paint(Paint::Dim, &padded)
            } else if self.status == Some(i) {
                out.paint(paint_of(cell), &padded)
            } else {
                padded
            };
            if i > 0 {
                line.push_str("  ");
            }
            line.push_str(&painted);
        }
        line.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut t = Table::new(&["ID", "STATUS", "TITLE", "AGENT"]);
        t.row(vec!["1".into(), "working".into(), "修复登录页面的问题并写测试".into(), "coder".into()]);
        t.row(vec!["deploy-2".into(), "done".into(), "short".into(), "-".into()]);
        t
    }

    #[test]
    fn a_table_without_a_terminal_is_not_cut() {
        let out = Out { json: false, colour: false, width: None, height: None };
        insta::assert_snapshot!(table().lines(out).join("\n"), @"
        ID        STATUS   TITLE                       AGENT
        1         working  修复登录页面的问题并写测试  coder
        deploy-2  done     short                       -
        ");
    }

    #[test]
    fn a_table_fits_the_terminal() {
        let out = Out { json: false, colour: false, width: Some(44), height: None };
        let lines = table().lines(out);
        assert!(lines.iter().all(|l| text::width(l) <= 44), "{lines:#?}");
        insta::assert_snapshot!(lines.join("\n"), @r"
        ID        STATUS   TITLE               AGENT
        1         working  修复登录页面的问…   coder
        deploy-2  done     short               -
        ");
    }

    #[test]
    fn a_bare_table_has_no_head_and_leaves_room() {
        let out = Out { json: false, colour: false, width: Some(40), height: None };
        let mut t = Table::bare(&["ID", "STATUS", "TITLE"]);
        t.row(vec!["1".into(), "done".into(), "short".into()]);
        t.row(vec!["2".into(), "failed".into(), "修复登录页面的问题并写测试和文档".into()]);
        let lines = t.lines_within(out, 2);
        assert_eq!(lines[0], "1  done    short");
        assert_eq!(text::width(&lines[1]), 38, "{lines:#?}");
    }

    #[test]
    fn colours_do_not_move_columns() {
        let out = Out { json: false, colour: true, width: None, height: None };
        let line = table().lines(out).remove(2);
        assert_eq!(line, "deploy-2  \u{1b}[32mdone   \u{1b}[0m  short                       -");
    }
}
