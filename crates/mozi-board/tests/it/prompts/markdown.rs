//! Enough of Markdown to tell data from prose: fences and code spans, as `CommonMark` reads them.
#![expect(clippy::string_slice, reason = "a wrong cut is a failing test; all cuts are beside ASCII")]

/// A piece of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Block { info: &'a str, body: &'a str },
    Code(&'a str),
    Prose(&'a str),
}

fn run(text: &str) -> usize {
    text.bytes().take_while(|b| *b == b'`').count()
}

/// The pieces of a page, in order.
pub(super) fn pieces(page: &str) -> Vec<Piece<'_>> {
    let mut out = Vec::new();
    let mut rest = page;
    let mut prose = page;
    while !rest.is_empty() {
        let line = rest.split_inclusive('\n').next().unwrap();
        let after = &rest[line.len()..];
        let fence = run(line);
        if fence < 3 || line[fence..].contains('`') {
            rest = after;
            continue;
        }
        spans(&prose[..prose.len() - rest.len()], &mut out);
        let mut end = 0;
        for l in after.split_inclusive('\n') {
            if run(l) >= fence && l.trim_end().bytes().all(|b| b == b'`') {
                break;
            }
            end += l.len();
        }
        assert!(end < after.len(), "a block is not closed: {line}");
        out.push(Piece::Block { info: line[fence..].trim(), body: &after[..end] });
        rest = after[end..].split_once('\n').map_or("", |(_, r)| r);
        prose = rest;
    }
    spans(prose, &mut out);
    out
}

fn spans<'a>(mut text: &'a str, out: &mut Vec<Piece<'a>>) {
    while let Some(from) = text.find('`') {
        let ticks = run(&text[from..]);
        out.push(Piece::Prose(&text[..from]));
        let inner = &text[from + ticks..];
        let mut at = 0;
        let end = loop {
            let next = inner[at..].find('`').expect("a code span is not closed") + at;
            let n = run(&inner[next..]);
            if n == ticks {
                break next;
            }
            at = next + n;
        };
        out.push(Piece::Code(&inner[..end]));
        text = &inner[end + ticks..];
    }
    out.push(Piece::Prose(text));
}

#[test]
fn pages_fall_into_pieces() {
    use Piece::{Block, Code, Prose};
    assert_eq!(
        pieces("a `b` c\n````text\n```\nd\n````\n``e`f``\n"),
        [
            Prose("a "),
            Code("b"),
            Prose(" c\n"),
            Block { info: "text", body: "```\nd\n" },
            Prose(""),
            Code("e`f"),
            Prose("\n"),
        ]
    );
}
