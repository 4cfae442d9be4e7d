//! How a prompt's marks are filled in. The board writes the text, the runner knows the values.

use crate::runner::{MarkKind, PromptParts};

/// What the runner found where the agent is to work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WorkspaceState {
    /// A new, empty folder.
    New,
    /// A folder as an earlier attempt left it.
    Kept,
    /// The project's own folder.
    InPlace,
    /// Nobody has looked yet: for previews.
    Unknown,
}

impl WorkspaceState {
    /// Its name among [`PromptParts::states`].
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Kept => "kept",
            Self::InPlace => "in_place",
            Self::Unknown => "unknown",
        }
    }
}

/// The name among [`PromptParts::states`] of the sentence that names the project's own folder, as `{path}`.
pub const SOURCE: &str = "source";

/// What stands for the marks.
#[derive(Debug, Clone, Copy)]
pub struct PromptValues<'a> {
    /// The attempt's token.
    pub token: &'a str,
    /// The folder to work in.
    pub workspace: &'a str,
    /// The folder of reports that could not be delivered.
    pub outbox: &'a str,
    /// The path of the program.
    pub mozi: &'a str,
    /// The board's address for agents, without a slash at its end.
    pub url: &'a str,
    /// The session.
    pub session_id: &'a str,
    /// What is in the folder.
    pub state: WorkspaceState,
    /// The project's own folder on this machine, if it has one and the work is done in another.
    pub source: Option<&'a str>,
}

impl PromptParts {
    /// The whole prompt, filled in.
    pub fn filled(&self, values: &PromptValues<'_>) -> String {
        self.fill(&self.text, values)
    }

    /// What follows the text of a bootstrap command, filled in; none where the project has no such command.
    pub fn operating_filled(&self, values: &PromptValues<'_>) -> Option<String> {
        self.bootstrap.as_ref().map(|b| self.fill(&b.operating_text, values))
    }

    /// What is in the folder, and where the project's own is.
    fn state_words(&self, values: &PromptValues<'_>) -> String {
        let state = self.states.get(values.state.as_str());
        let source = values.source.and_then(|path| Some(self.states.get(SOURCE)?.replace("{path}", path)));
        [state.cloned(), source].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    /// A mark in single quotes stands in a shell command: its value is quoted for the shell.
    fn fill(&self, text: &str, values: &PromptValues<'_>) -> String {
        let mut text = text.to_owned();
        let state = self.state_words(values);
        for (name, mark) in self.marks.iter().filter(|(_, mark)| !mark.is_empty()) {
            let value = match name.0 {
                MarkKind::Token => values.token,
                MarkKind::Workspace => values.workspace,
                MarkKind::Outbox => values.outbox,
                MarkKind::Mozi => values.mozi,
                MarkKind::Url => values.url,
                MarkKind::SessionId => values.session_id,
                MarkKind::WorkspaceState => &state,
            };
            text = text.replace(&format!("'{mark}'"), &shell_quoted(value)).replace(mark, value);
        }
        text
    }
}

/// `value` as one word of a POSIX shell.
fn shell_quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{runner::BootstrapParts, wire::Text};

    fn parts() -> PromptParts {
        let mark = |kind: MarkKind| (Text(kind), format!("@@{}@@", Text(kind)));
        PromptParts {
            text: "in @@workspace@@: cd '@@workspace@@' && x '@@token@@'. @@workspace_state@@".into(),
            marks: MarkKind::ALL.iter().copied().map(mark).collect(),
            states: BTreeMap::from([
                ("kept".to_owned(), "It is kept.".to_owned()),
                ("source".to_owned(), "See {path}.".to_owned()),
            ]),
            bootstrap: Some(BootstrapParts {
                name: "b".into(),
                input: serde_json::Value::Null,
                operating_text: "at @@url@@ as @@session_id@@, '@@mozi@@' in '@@outbox@@'".into(),
            }),
        }
    }

    const VALUES: PromptValues<'_> = PromptValues {
        token: "mozi_a_1",
        workspace: "/it's $HOME",
        outbox: "/o",
        mozi: "/m",
        url: "http://127.0.0.1:1",
        session_id: "s",
        state: WorkspaceState::Kept,
        source: None,
    };

    #[test]
    fn marks_are_filled_in_and_quoted_where_a_shell_reads_them() {
        assert_eq!(
            parts().filled(&VALUES),
            r"in /it's $HOME: cd '/it'\''s $HOME' && x 'mozi_a_1'. It is kept."
        );
        assert_eq!(
            parts().operating_filled(&VALUES).as_deref(),
            Some("at http://127.0.0.1:1 as s, '/m' in '/o'")
        );
    }

    #[test]
    fn the_projects_own_folder_is_named() {
        let values = PromptValues { source: Some("/src/app"), ..VALUES };
        assert!(parts().filled(&values).ends_with("It is kept. See /src/app."));
    }

    #[test]
    fn a_state_without_words_leaves_no_mark() {
        let values = PromptValues { state: WorkspaceState::New, ..VALUES };
        assert!(parts().filled(&values).ends_with("'mozi_a_1'. "));
        assert_eq!(PromptParts { bootstrap: None, ..parts() }.operating_filled(&values), None);
    }
}
