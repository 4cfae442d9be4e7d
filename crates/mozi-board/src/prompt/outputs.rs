//! Outputs as prompts speak of them.

use mozi_core::{Output, output::Content};
use serde::Serialize;

use super::{cut, time};

/// The longest title and summary that are shown, in characters.
const TITLE: usize = 200;
const SUMMARY: usize = 600;
/// The longest content that is shown, and the most for a whole prompt, in bytes.
const CONTENT: usize = 8 * 1024;
const CONTENTS: usize = 32 * 1024;

/// An output.
#[derive(Debug, Clone, Serialize)]
pub(super) struct OutputView {
    id: u32,
    attempt_number: Option<u32>,
    agent: Option<String>,
    r#type: &'static str,
    title: String,
    summary: Option<String>,
    size: String,
    content: Option<String>,
}

impl OutputView {
    pub(super) fn new(o: &Output) -> Self {
        Self {
            id: o.id,
            attempt_number: o.attempt_number,
            agent: o.agent.as_ref().map(ToString::to_string),
            r#type: o.output_type.as_str(),
            title: cut::line(&o.title, TITLE),
            summary: o.summary.as_deref().map(|s| cut::line(s, SUMMARY)).filter(|s| !s.is_empty()),
            size: time::size(o.size_bytes),
            content: None,
        }
    }

    /// About how much room it takes.
    pub(super) fn cost(&self) -> usize {
        let content = self.content.as_ref().map_or(0, String::len);
        80usize
            .saturating_add(self.title.len())
            .saturating_add(self.summary.as_ref().map_or(0, String::len))
            .saturating_add(content)
    }
}

/// Outputs with their content, as far as it was loaded, is text and short enough.
pub(super) fn with_content<'a>(outputs: impl Iterator<Item = &'a Output>) -> Vec<OutputView> {
    let mut room = CONTENTS;
    outputs
        .map(|o| {
            let mut view = OutputView::new(o);
            view.content = text_of(o).filter(|t| t.len() <= room).map(str::to_owned);
            room = room.saturating_sub(view.content.as_ref().map_or(0, String::len));
            view
        })
        .collect()
}

fn text_of(o: &Output) -> Option<&str> {
    let Content::Inline(bytes) = &o.content else { return None };
    // Content that was not loaded is empty whatever its size.
    if bytes.is_empty() || bytes.len() > CONTENT || u64::try_from(bytes.len()) != Ok(o.size_bytes) {
        return None;
    }
    std::str::from_utf8(bytes).ok().filter(|t| !t.contains('\0'))
}
