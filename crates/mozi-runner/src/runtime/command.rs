//! The runtime `command`: any program.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use mozi_supervise::StdinSource;

use super::{Prepared, RuntimeData, Session, find_program, program_path};
use crate::config::PromptVia;

pub(super) fn prepare(
    config_dir: &Path,
    command: &[String],
    prompt_via: PromptVia,
    session: &Session<'_>,
) -> Result<Prepared, String> {
    let mut words = command.iter().map(|word| fill(word, config_dir, session));
    let program = words.next().filter(|word| !word.is_empty()).ok_or("its `command` is empty")?;
    Ok(Prepared {
        program: program_path(config_dir, &program),
        args: words.collect(),
        stdin: match prompt_via {
            PromptVia::Stdin => StdinSource::Prompt,
            PromptVia::File | PromptVia::None => StdinSource::Null,
        },
        env: BTreeMap::new(),
        removed_env: &[],
        data: RuntimeData::default(),
    })
}

pub(super) fn obstacle(
    config_dir: &Path,
    command: &[String],
    env: &BTreeMap<OsString, OsString>,
) -> Option<String> {
    let Some(first) = command.first().filter(|word| !word.is_empty()) else {
        return Some("its `command` is empty".to_owned());
    };
    // A program that is named by its session can only be looked for when there is one.
    let word = first.replace("{config_dir}", &config_dir.to_string_lossy());
    if word.contains('{') {
        return None;
    }
    let program = program_path(config_dir, &word);
    if find_program(&program, env).is_some() {
        return None;
    }
    Some(if word.contains('/') {
        format!("{} is not there or not executable", program.display())
    } else {
        format!("there is no program `{word}` on its PATH")
    })
}

/// Puts values for placeholders, in one pass: a value is never looked through again.
fn fill(word: &str, config_dir: &Path, session: &Session<'_>) -> String {
    let mut filled = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        filled.push_str(before);
        let known = from.find('}').and_then(|end| {
            let name = from.get(1..end)?;
            Some((value(name, config_dir, session)?, from.get(end + 1..)?))
        });
        if let Some((value, after)) = known {
            filled.push_str(&value);
            rest = after;
        } else {
            // Not ours: a brace of JSON or of a shell stays.
            filled.push('{');
            rest = from.get(1..).unwrap_or_default();
        }
    }
    filled.push_str(rest);
    filled
}

fn value(name: &str, config_dir: &Path, session: &Session<'_>) -> Option<String> {
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    Some(match name {
        "task_id" => text(session.task_id),
        "project_id" => text(session.project_id),
        "attempt" => session.attempt_number.map(|n| n.to_string()).unwrap_or_default(),
        "session_id" => session.id.to_string(),
        "prompt_file" => session.prompt_file.to_string_lossy().into_owned(),
        "workspace" => session.workspace.to_string_lossy().into_owned(),
        "config_dir" => config_dir.to_string_lossy().into_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use mozi_core::SessionId;

    use super::*;

    fn session<'a>() -> Session<'a> {
        Session {
            id: SessionId(uuid::Uuid::nil()),
            project_id: Some("app"),
            task_id: Some("7"),
            attempt_number: Some(2),
            workspace: Path::new("/w"),
            prompt_file: Path::new("/s/prompt.md"),
            prompt_bytes: 0,
            timeout_ms: None,
        }
    }

    #[track_caller]
    fn check(word: &str, expected: &str) {
        assert_eq!(fill(word, Path::new("/etc/{task_id}"), &session()), expected);
    }

    #[test]
    fn placeholders() {
        check("{task_id}/{project_id}#{attempt}", "7/app#2");
        check("--file={prompt_file}", "--file=/s/prompt.md");
        check("{config_dir}/run.sh", "/etc/{task_id}/run.sh");
        check(r#"{"a": {"task": "{task_id}"}}"#, r#"{"a": {"task": "7"}}"#);
        check("{unknown} {", "{unknown} {");
        check("日本{workspace}語", "日本/w語");
    }

    #[test]
    fn a_program_with_a_slash_lies_beside_the_configuration() {
        let words = ["bin/agent".to_owned(), "x".to_owned()];
        let prepared = prepare(Path::new("/cfg"), &words, PromptVia::File, &session()).unwrap();
        assert_eq!(prepared.program, Path::new("/cfg/bin/agent"));
        assert_eq!(prepared.stdin, StdinSource::Null);
        let words = ["bash".to_owned()];
        assert_eq!(
            prepare(Path::new("/cfg"), &words, PromptVia::Stdin, &session()).unwrap().program,
            Path::new("bash")
        );
        assert!(prepare(Path::new("/cfg"), &[], PromptVia::Stdin, &session()).is_err());
    }

    #[test]
    fn what_is_not_there_is_said() {
        let env = BTreeMap::from([(OsString::from("PATH"), OsString::from("/usr/bin:/bin"))]);
        let look = |word: &str| obstacle(Path::new("/cfg"), &[word.to_owned()], &env);
        assert_eq!(look("sh"), None);
        assert_eq!(look("/bin/sh"), None);
        assert_eq!(look("{workspace}/x"), None);
        assert!(look("no-such-program").unwrap().contains("on its PATH"));
        assert!(look("./x").unwrap().contains("/cfg/./x"));
        assert!(look("/etc/passwd").unwrap().contains("not executable"));
    }
}
