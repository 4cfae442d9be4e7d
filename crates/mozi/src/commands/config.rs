//! `mozi config check` and `mozi config show`.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::{
    cli::ConfigCommand,
    config::{
        Config, Entry, Mistake, Origin, env,
        registry::{self, Setting},
    },
    context::ServerFile,
    error::{Exit, Failure, Result},
    output::{Out, Paint, Table},
    serve::data_dir,
};

mod doubts;

pub(crate) async fn run(out: Out, command: ConfigCommand) -> Result<()> {
    match command {
        ConfigCommand::Check { file } => check(out, file).await,
        ConfigCommand::Show { config, data } => show(out, config.as_deref(), data),
    }
}

/// Something about a line of the file.
#[derive(Debug, Serialize)]
struct Remark {
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    text: String,
}

impl From<&Mistake> for Remark {
    fn from(m: &Mistake) -> Self {
        Self { line: Some(m.line), column: Some(m.column), text: m.text.clone() }
    }
}

#[derive(Debug, Serialize)]
struct Checked {
    file: PathBuf,
    ok: bool,
    mistakes: Vec<Remark>,
    warnings: Vec<Remark>,
}

async fn check(out: Out, named: Option<PathBuf>) -> Result<()> {
    let file = named.or_else(env::config_file).ok_or_else(|| {
        Failure::new("no configuration file is known: neither HOME nor XDG_CONFIG_HOME is set")
            .hint("name one: mozi config check FILE")
    })?;
    let file = std::path::absolute(&file).map_err(|e| Failure::io("find", &file, &e))?;
    let text = std::fs::read_to_string(&file).map_err(|e| {
        Failure::io("read the configuration", &file, &e)
            .hint("`mozi init` writes one; without a file there is a board, but no agents")
    })?;
    let mut checked = Checked { file: file.clone(), ok: true, mistakes: Vec::new(), warnings: Vec::new() };
    match Config::parse(&file, &text) {
        Ok(config) => {
            if let Err(e) = config.check_listen(config.server.listen) {
                let line = config.lines.of("server.listen");
                checked.mistakes.push(Remark { line, column: None, text: e.what });
            }
            checked.warnings = doubts::of(&config).await?;
        }
        Err(mistakes) => checked.mistakes = mistakes.iter().map(Remark::from).collect(),
    }
    checked.ok = checked.mistakes.is_empty();
    if out.json() {
        out.value(&checked)?;
    } else {
        print(out, &checked)?;
    }
    if checked.ok { Ok(()) } else { Err(Failure::silent(Exit::Failed)) }
}

fn print(out: Out, checked: &Checked) -> Result<()> {
    let tell = |paint, word: &str, remark: &Remark| {
        let place = [remark.line, remark.column]
            .iter()
            .flatten()
            .fold(checked.file.display().to_string(), |place, n| format!("{place}:{n}"));
        out.line(format!("{place}: {}: {}", out.paint(paint, word), remark.text))
    };
    for mistake in &checked.mistakes {
        tell(Paint::Bad, "mistake", mistake)?;
    }
    for warning in &checked.warnings {
        tell(Paint::Wait, "warning", warning)?;
    }
    let count = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    let file = checked.file.display();
    out.line(match (checked.mistakes.len(), checked.warnings.len()) {
        (0, 0) => format!("{file} is right"),
        (0, w) => format!("{file} is understood, with {}", count(w, "warning")),
        (m, _) => format!("{file} has {}", count(m, "mistake")),
    })
}

#[derive(Debug, Serialize)]
struct Shown {
    key: String,
    value: serde_json::Value,
    origin: String,
    /// What is known of the key; for machines.
    #[serde(flatten)]
    about: Option<&'static Setting>,
}

/// The values of an `env` table are nobody's business: they are where keys are put.
fn masked(value: &Entry) -> serde_json::Value {
    if value.pattern == "agents.*.env" { "***".into() } else { value.value.clone() }
}

fn show(out: Out, named: Option<&Path>, data: Option<PathBuf>) -> Result<()> {
    let config = Config::load(named)?;
    let mut all = places(&config, named, data)?;
    for value in config.values() {
        let origin = config.origin(&value).show(config.file.as_deref());
        let about = registry::setting(value.pattern);
        all.push(Shown { key: value.path.clone(), value: masked(&value), origin, about });
    }
    if out.json() {
        return out.value(&serde_json::json!({ "items": all }));
    }
    let mut table = Table::new(&["KEY", "VALUE", "FROM"]);
    for shown in &all {
        let value = match &shown.value {
            serde_json::Value::Null => "-".to_owned(),
            value => value.to_string(),
        };
        table.row(vec![shown.key.clone(), value, shown.origin.clone()]);
    }
    out.table(&table)
}

/// What no file can say: where the file and the data folder are, and where a running server listens in truth.
fn places(config: &Config, named: Option<&Path>, data: Option<PathBuf>) -> Result<Vec<Shown>> {
    let from = |named: bool, flag: &str, variable: &str| match (named, env::path(variable)) {
        (true, _) => format!("command line ({flag})"),
        (false, Some(_)) => format!("environment ({variable})"),
        (false, None) => Origin::Default.show(None),
    };
    let file = config.file.clone().or_else(env::config_file);
    let there = if config.file.is_some() { "" } else { ", not there" };
    let origin = from(named.is_some(), "--config", "MOZI_CONFIG") + there;
    let shown = |key: &str, value, origin: String| Shown { key: key.to_owned(), value, origin, about: None };
    let mut all = vec![shown("config file", serde_json::json!(file), origin)];
    let origin = from(data.is_some(), "--data", "MOZI_DATA");
    let data = data_dir(data)?;
    if let Some(server) = ServerFile::read(&data).filter(|_| crate::serve::lock::holder(&data).is_some()) {
        let origin = format!("running server (pid {})", server.pid);
        all.push(shown("url", server.url.into(), origin));
    }
    all.insert(1, shown("data folder", serde_json::json!(data), origin));
    Ok(all)
}
