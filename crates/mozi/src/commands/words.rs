//! Texts that come from elsewhere: `-` is standard input, `@FILE` a file, else the text itself; or an editor.

use std::{
    io::{IsTerminal as _, Read as _, Write as _},
    path::Path,
};

use crate::{
    config::env,
    error::{Failure, Result},
};

/// What a `TEXT|-|@FILE` stands for.
pub(crate) fn text(word: &str) -> Result<String> {
    match word {
        "-" => stdin(),
        _ => match word.strip_prefix('@') {
            Some(file) if !file.is_empty() => read(Path::new(file)),
            _ => Ok(word.to_owned()),
        },
    }
}

/// The text of a file; `-` is standard input.
pub(crate) fn file(path: &Path) -> Result<String> {
    if path == Path::new("-") { stdin() } else { read(path) }
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| Failure::io("read", path, &e)).map(|t| t.trim_end().to_owned())
}

/// All bytes of standard input.
pub(crate) fn stdin_bytes() -> Result<Vec<u8>> {
    if std::io::stdin().is_terminal() {
        crate::output::note("reading from the terminal; end with Ctrl-D");
    }
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut bytes);
    read.map_err(|e| Failure::new(format!("could not read standard input: {}", crate::error::plain(&e))))?;
    Ok(bytes)
}

fn stdin() -> Result<String> {
    let text = String::from_utf8(stdin_bytes()?);
    text.map(|t| t.trim_end().to_owned()).map_err(|_| Failure::new("standard input is not UTF-8"))
}

/// A first line and the rest of a text: a title and a description, as in a commit message.
pub(crate) fn title_and_rest(text: &str) -> Result<(String, Option<String>)> {
    let text = text.trim();
    let (title, rest) = text.split_once('\n').unwrap_or((text, ""));
    if title.trim().is_empty() {
        return Err(Failure::new("there is no title: the first line is the title, the rest the description"));
    }
    let rest = rest.trim();
    Ok((title.trim().to_owned(), (!rest.is_empty()).then(|| rest.to_owned())))
}

/// Lets the user write: `$VISUAL`, `$EDITOR`, else `vi`. Lines that begin with `#!` are ours and taken away.
pub(crate) fn edit(before: &str, help: &str) -> Result<String> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage("there is no terminal for an editor").hint("give the text with -m or -F"));
    }
    let editor = env::var("VISUAL").or_else(|| env::var("EDITOR")).unwrap_or_else(|| "vi".to_owned());
    let made = tempfile::Builder::new().prefix("mozi-").suffix(".md").tempfile();
    let failed = |e: std::io::Error| {
        Failure::new(format!("could not make a file to edit: {}", crate::error::plain(&e)))
    };
    let mut file = made.map_err(failed)?;
    let notes = help.replace('\n', "\n#! ");
    file.write_all(format!("{before}\n#! {notes}\n").as_bytes())
        .and_then(|()| file.flush())
        .map_err(failed)?;
    // The user's setting may hold arguments: a shell takes it apart as it does everywhere else.
    #[expect(clippy::disallowed_methods, reason = "the editor of the user, who waits for it")]
    let mut command = std::process::Command::new("sh");
    command.arg("-c").arg(format!("{editor} \"$1\"")).arg("sh").arg(file.path());
    let ended = command.status();
    let ended = ended
        .map_err(|e| Failure::new(format!("could not start the editor: {}", crate::error::plain(&e))))?;
    if !ended.success() {
        return Err(Failure::new(format!("the editor ended with {ended}: nothing was done")));
    }
    let text = std::fs::read_to_string(file.path()).map_err(|e| Failure::io("read", file.path(), &e))?;
    let kept: Vec<&str> = text.lines().filter(|l| !l.starts_with("#!")).collect();
    let kept = kept.join("\n").trim().to_owned();
    if kept.is_empty() { Err(Failure::new("the text is empty: nothing was done")) } else { Ok(kept) }
}

/// `KEY=VALUE`.
pub(crate) fn pair(text: &str) -> Result<(String, String)> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err(Failure::usage(format!("{text:?} is not KEY=VALUE"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_title() {
        assert_eq!(title_and_rest("a\n\nb\nc\n").unwrap(), ("a".into(), Some("b\nc".into())));
        assert_eq!(title_and_rest("a").unwrap(), ("a".into(), None));
        assert!(title_and_rest(" \n ").is_err());
    }

    #[test]
    fn texts_come_from_files_or_stand_for_themselves() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "from a file\n").unwrap();
        assert_eq!(text(&format!("@{}", file.path().display())).unwrap(), "from a file");
        assert_eq!(text("@").unwrap(), "@");
        assert_eq!(text("plain").unwrap(), "plain");
        assert!(text("@/no/such/file").unwrap_err().what.contains("/no/such/file"));
    }
}
