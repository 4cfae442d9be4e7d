//! `docs/reference.md`, made from the code: commands, settings, routes, codes, events, variables. And the list of names
//! that are promised to users, which must all stand in it.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

use clap::{Arg, Command, CommandFactory as _};
use serde_json::Value;

use mozi_api::{event::EVENT_TYPES, problem::CODES};

use crate::{
    cli::Cli,
    config::registry::{Reload, SETTINGS},
};

/// Variables that people may set, and those that an agent finds.
const VARIABLES: &[(&str, &str)] = &[
    ("MOZI_CONFIG", "for people: the configuration file"),
    ("MOZI_DATA", "for people: the data folder"),
    ("MOZI_LOG", "for people: what `mozi serve` logs, such as `info` or `warn,mozi=debug`"),
    ("NO_COLOR", "for people: no colours"),
    ("MOZI_URL", "the board's address; for an agent in numbers"),
    ("MOZI_TOKEN", "the bearer token; for an agent that of its attempt"),
    ("MOZI_PROJECT", "the project"),
    ("MOZI_TASK", "for an agent: its task"),
    ("MOZI_ATTEMPT", "for an agent: the number of its attempt"),
    ("MOZI_SESSION_ID", "for an agent: its session"),
    ("MOZI_OUTBOX", "for an agent: where `mozi report` keeps what the board could not take yet"),
    ("MOZI_WORKSPACE", "for an agent: the folder it works in"),
];

const EXITS: &[(u8, &str)] = &[
    (0, "done"),
    (1, "refused or failed, with the reason"),
    (2, "usage"),
    (3, "no board answers"),
    (4, "not authorised"),
    (5, "a task that was waited for ended in another status than done, or needs a person"),
];

fn flag(arg: &Arg) -> String {
    let mut text = match (arg.get_short(), arg.get_long()) {
        (Some(s), Some(l)) => format!("-{s}, --{l}"),
        (Some(s), None) => format!("-{s}"),
        (None, Some(l)) => format!("--{l}"),
        (None, None) => String::new(),
    };
    if arg.get_action().takes_values() {
        let names = arg.get_value_names().unwrap_or_default();
        let many = if arg.get_num_args().is_some_and(|n| n.max_values() > 1) { "…" } else { "" };
        let names: Vec<_> = names.iter().map(clap::builder::Str::as_str).collect();
        if !text.is_empty() {
            text.push(' ');
        }
        write!(text, "{}{many}", names.join(" ")).unwrap();
    }
    text
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn table(out: &mut String, heads: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    writeln!(out, "| {} |\n|{}", heads.join(" | "), "---|".repeat(heads.len())).unwrap();
    for row in rows {
        let cells: Vec<_> = row.iter().map(|c| cell(c)).collect();
        writeln!(out, "| {} |", cells.join(" | ")).unwrap();
    }
    out.push('\n');
}

fn arguments(command: &Command) -> Vec<Vec<String>> {
    let shown = command.get_arguments().filter(|a| !a.is_hide_set() && !a.is_global_set());
    shown
        .filter(|a| !matches!(a.get_id().as_str(), "help" | "version"))
        .map(|a| {
            let mut about = a.get_help().map(ToString::to_string).unwrap_or_default();
            let values: Vec<_> = a.get_possible_values().iter().map(|v| v.get_name().to_owned()).collect();
            if !values.is_empty() && a.get_action().takes_values() {
                write!(about, " ({})", values.join(", ")).unwrap();
            }
            vec![format!("`{}`", flag(a)), about]
        })
        .collect()
}

fn commands(out: &mut String, command: &Command, path: &str) {
    let children: Vec<_> = command.get_subcommands().filter(|c| !c.is_hide_set()).collect();
    if children.is_empty() || !arguments(command).is_empty() {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        writeln!(out, "### `{path}`\n\n{about}.\n").unwrap();
        let rows = arguments(command);
        if !rows.is_empty() {
            table(out, &["", ""], rows);
        }
    }
    for child in children {
        commands(out, child, &format!("{path} {}", child.get_name()));
    }
}

fn routes(out: &mut String) {
    let document: Value = serde_json::from_str(&mozi_board::openapi_json()).unwrap();
    let rows = mozi_board::declared().into_iter().map(|(method, path, access)| {
        let operation = &document["paths"][path][method.as_str().to_lowercase()];
        let asks = operation["parameters"].as_array().into_iter().flatten();
        let asks: Vec<_> = asks.filter(|p| p["in"] == "query").filter_map(|p| p["name"].as_str()).collect();
        let asks = if asks.is_empty() { String::new() } else { format!(" ?{}", asks.join(" ?")) };
        vec![
            format!("`{method} {path}`{asks}"),
            operation["summary"].as_str().unwrap_or_default().to_owned(),
            who(access),
        ]
    });
    table(out, &["call", "what it does", "who may"], rows);
}

fn who(access: mozi_board::Access) -> String {
    use mozi_board::{AttemptAccess, RunnerAccess};
    if access.open {
        return "anybody".to_owned();
    }
    let mut who = Vec::new();
    if let Some(role) = access.user {
        who.push(format!("{role} and above"));
    }
    match access.attempt {
        AttemptAccess::None => {}
        AttemptAccess::Own => who.push("an attempt, for its own task".to_owned()),
        AttemptAccess::Related => who.push("an attempt, for its task and those near to it".to_owned()),
        AttemptAccess::Project => who.push("an attempt, where the project lets agents make tasks".to_owned()),
    }
    if access.runner != RunnerAccess::None {
        who.push("the runner".to_owned());
    }
    who.join("; ")
}

/// The settings of a project with their meaning, as the document of the interface has them.
fn project_settings() -> Vec<Vec<String>> {
    let document: Value = serde_json::from_str(&mozi_board::openapi_json()).unwrap();
    let settings = document["components"]["schemas"]["Settings"]["properties"].as_object().unwrap();
    let row = |(key, schema): (&String, &Value)| {
        vec![format!("`{key}`"), schema["description"].as_str().unwrap_or_default().to_owned()]
    };
    settings.iter().map(row).collect()
}

fn reference() -> String {
    let mut cli = Cli::command();
    cli.build();
    let mut out = String::from(
        "# Reference\n\nMade from the code by a test; not written by hand. `mozi COMMAND --help` has examples, \
         `mozi openapi` every field.\n\n## Commands\n\nEvery command takes:\n\n",
    );
    let globals = cli.get_arguments().filter(|a| a.is_global_set() && !a.is_hide_set());
    let globals = globals
        .map(|a| vec![format!("`{}`", flag(a)), a.get_help().map(ToString::to_string).unwrap_or_default()]);
    table(&mut out, &["", ""], globals.collect::<Vec<_>>());
    commands(&mut out, &cli, "mozi");
    out.push_str("### Exit status\n\n");
    table(&mut out, &["", ""], EXITS.iter().map(|(n, what)| vec![n.to_string(), (*what).to_owned()]));
    out.push_str("## Variables of the environment\n\n");
    table(&mut out, &["", ""], VARIABLES.iter().map(|(n, what)| vec![format!("`{n}`"), (*what).to_owned()]));
    out.push_str("## Settings of mozi.toml\n\n[agent_defaults] takes every key of an agent.\n\n");
    let settings = SETTINGS.iter().map(|s| {
        let reload = match s.reload {
            Reload::Live => "`mozi reload`",
            Reload::Restart => "a restart",
        };
        vec![
            format!("`{}`", s.path),
            s.takes.to_owned(),
            format!("`{}`", s.default),
            s.meaning.to_owned(),
            reload.to_owned(),
        ]
    });
    table(&mut out, &["key", "takes", "default", "meaning", "a new value needs"], settings);
    out.push_str("## Settings of a project\n\nOn the board: `mozi project set PROJECT KEY=VALUE`.\n\n");
    table(&mut out, &["key", "meaning"], project_settings());
    out.push_str("## HTTP\n\n");
    routes(&mut out);
    out.push_str("## Codes of errors\n\nEvery error is a problem document with one of these.\n\n");
    let codes = CODES
        .iter()
        .map(|(code, status, meaning)| vec![format!("`{code}`"), status.to_string(), (*meaning).to_owned()]);
    table(&mut out, &["code", "status", "meaning"], codes);
    out.push_str("## Types of events\n\nThe list grows: a reader passes over what it does not know.\n\n");
    let types = EVENT_TYPES.iter().map(|(name, meaning)| vec![format!("`{name}`"), (*meaning).to_owned()]);
    table(&mut out, &["type", "meaning"], types);
    out
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

#[test]
fn the_reference_is_what_the_code_says() {
    let file = root().join("docs/reference.md");
    let made = reference();
    #[expect(clippy::disallowed_methods, reason = "how golden files are renewed")]
    let update = std::env::var_os("UPDATE").is_some();
    if update {
        fs::write(&file, &made).unwrap();
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        kept == made,
        "docs/reference.md is not what the code says: UPDATE=1 cargo test -p mozi reference"
    );
}

/// The names of every kind that there are, written as in the list of those that are promised.
fn names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut cli = Cli::command();
    cli.build();
    command_names(&mut names, &cli, "mozi");
    let document: Value = serde_json::from_str(&mozi_board::openapi_json()).unwrap();
    for (method, path, _) in mozi_board::declared() {
        names.insert(format!("route {method} {path}"));
        let asks = &document["paths"][path][method.as_str().to_lowercase()]["parameters"];
        let asks = asks.as_array().into_iter().flatten().filter(|p| p["in"] == "query");
        names.extend(asks.filter_map(|p| Some(format!("route {method} {path} ?{}", p["name"].as_str()?))));
    }
    names.extend(SETTINGS.iter().map(|s| format!("setting {}", s.path)));
    names.extend(
        project_settings().into_iter().map(|row| format!("project-setting {}", row[0].trim_matches('`'))),
    );
    names.extend(EVENT_TYPES.iter().map(|(name, _)| format!("event {name}")));
    names.extend(CODES.iter().map(|(code, ..)| format!("code {code}")));
    names.extend(VARIABLES.iter().map(|(name, _)| format!("env {name}")));
    names
}

fn command_names(names: &mut BTreeSet<String>, command: &Command, path: &str) {
    names.insert(path.to_owned());
    for arg in command.get_arguments() {
        names.extend(arg.get_short().map(|s| format!("{path} -{s}")));
        names.extend(arg.get_long().map(|l| format!("{path} --{l}")));
    }
    for child in command.get_subcommands() {
        command_names(names, child, &format!("{path} {}", child.get_name()));
    }
}

#[test]
fn every_promised_name_is_there() {
    let names = names();
    let mut missing = Vec::new();
    for line in include_str!("reference/promised.txt").lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let words: Vec<_> = line.split_whitespace().collect();
        let first = words.iter().position(|w| w.starts_with(['-', '?'])).unwrap_or(words.len());
        let (path, flags) = words.split_at(first);
        let path = path.join(" ");
        let each = flags.iter().map(|flag| format!("{path} {flag}"));
        missing.extend(std::iter::once(path.clone()).chain(each).filter(|name| !names.contains(name)));
    }
    assert!(missing.is_empty(), "promised, but not there:\n{}", missing.join("\n"));
}
