//! The list of all commands, in groups: who is new finds the few that matter first.

use clap::error::ErrorKind;

/// Headings and what stands below them. A command that is named nowhere stands at the end.
const GROUPS: &[(&str, &[&str])] = &[
    ("To begin", &["demo", "init", "serve", "up", "down", "stop", "reload"]),
    ("Every day", &["status", "task", "why", "logs", "comment", "output", "events"]),
    ("Who works", &["agent", "session", "attempt", "project"]),
    ("Who may", &["token", "user", "audit"]),
    ("Keeping it well", &["doctor", "config", "backup", "restore", "gc"]),
    ("For agents, from inside their sessions", &["report"]),
    ("About Mozi", &["openapi", "completions", "man", "version"]),
];

/// The help of the program itself in groups, if that is what was asked for.
pub(crate) fn of_program(error: &clap::Error, words: &[std::ffi::OsString]) -> Option<String> {
    let top = words.get(1).is_some_and(|w| w == "--help" || w == "-h") && words.len() == 2;
    (top && error.kind() == ErrorKind::DisplayHelp).then(|| grouped(&error.render().to_string()))
}

fn grouped(help: &str) -> String {
    let Some((before, rest)) = help.split_once("Commands:\n") else { return help.to_owned() };
    let (list, after) = rest.split_once("\n\n").unwrap_or((rest, ""));
    let mut commands: Vec<(&str, String)> = Vec::new();
    for line in list.lines() {
        let name = line.strip_prefix("  ").filter(|l| !l.starts_with(' ')).and_then(|l| l.split(' ').next());
        match (name, commands.last_mut()) {
            (Some(name), _) => commands.push((name, format!("{line}\n"))),
            // What is told of a command goes on.
            (None, Some((_, text))) => text.extend([line, "\n"]),
            (None, None) => {}
        }
    }
    let mut sections = String::new();
    let mut section = |title: &str, text: String| {
        if !text.is_empty() {
            sections.extend([title, ":\n", &text, "\n"]);
        }
    };
    for (title, names) in GROUPS {
        let of = names.iter().filter_map(|n| commands.iter().find(|(name, _)| name == n));
        section(title, of.map(|(_, text)| text.as_str()).collect());
    }
    let named = |name: &str| GROUPS.iter().any(|(_, names)| names.contains(&name));
    let left = commands.iter().filter(|(name, _)| !named(name)).map(|(_, text)| text.as_str());
    section("More", left.collect());
    format!("{before}{sections}{after}")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_command_is_in_a_group_and_none_is_lost() {
        let mut command = crate::cli::Cli::command();
        let help = grouped(&command.render_help().to_string());
        for c in command.get_subcommands() {
            let lines = help.lines().filter(|l| l.starts_with(&format!("  {} ", c.get_name()))).count();
            assert_eq!(lines, 1, "{}:\n{help}", c.get_name());
        }
        assert!(!help.contains("\nMore:"), "a command without a group:\n{help}");
        assert!(help.contains("\nOptions:") && help.contains("Exit status"), "{help}");
    }
}
