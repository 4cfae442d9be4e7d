//! The template engine: strict, without escapes, bounded where the template is not ours.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::LazyLock,
};

use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, syntax::SyntaxConfig, value::Serde,
};
use mozi_core::{Role, project::Language};
use serde::Serialize;

use super::{builtin, quote};

/// The largest template of a project, and the largest page that it may make, in bytes.
const TEMPLATE: u64 = 256 * 1024;
const PAGE: usize = 4 * 1024 * 1024;
/// Instructions that a template of a project may take: some hundred times what the built-in ones do.
const FUEL: u64 = 5_000_000;

/// A rendered page.
#[derive(Debug)]
pub(super) struct Page {
    /// All of it.
    pub(super) text: String,
    /// The part that says how to report.
    pub(super) operating: String,
}

/// Why a template could not be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum TemplateError {
    /// It could not be read.
    #[error("could not read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// It does not work.
    #[error("{}: {source}{}", path.display(), because(source))]
    Render { path: PathBuf, source: Error },
    /// It makes too much.
    #[error("{} makes more than {PAGE} bytes", path.display())]
    TooLong { path: PathBuf },
    /// It makes nothing.
    #[error("{} makes an empty prompt", path.display())]
    Empty { path: PathBuf },
    /// The built-in one does not work.
    #[error("the built-in prompt: {0}")]
    Builtin(String),
}

impl TemplateError {
    /// The file, if it is one's.
    pub(super) fn file(&self) -> Option<&Path> {
        match self {
            Self::Read { path, .. }
            | Self::Render { path, .. }
            | Self::TooLong { path }
            | Self::Empty { path } => Some(path),
            Self::Builtin(_) => None,
        }
    }
}

/// Errors of templates hide their cause behind general words, one behind the other.
fn because(e: &Error) -> String {
    let mut cause = std::error::Error::source(e);
    while let Some(deeper) = cause.and_then(std::error::Error::source) {
        cause = Some(deeper);
    }
    cause.map(|c| format!(": {c}")).unwrap_or_default()
}

/// The page of a project's own template, if it has one for the role.
pub(super) fn own(
    language: Language,
    role: Role,
    folder: &Path,
    context: &impl Serialize,
) -> Result<Option<Page>, TemplateError> {
    let name = format!("{role}.md");
    let path = folder.join(&name);
    match read(&path) {
        Ok(None) => return Ok(None),
        Ok(Some(_)) => {}
        Err(source) => return Err(TemplateError::Read { path, source }),
    }
    let mut env = environment(language)?.clone();
    env.set_fuel(Some(FUEL));
    let folder = folder.to_owned();
    env.set_loader(move |name| {
        if !plain(name) {
            return Ok(None);
        }
        read(&folder.join(name))
            .map_err(|e| Error::new(ErrorKind::BadInclude, format!("could not read {name}")).with_source(e))
    });
    let mut text = Limited::default();
    let rendered = render(&env, &name, context, &mut text);
    if text.full {
        return Err(TemplateError::TooLong { path });
    }
    let operating = match rendered {
        Ok(Some(block)) => block,
        // A page that has no such part gets the usual one behind a bootstrap's text.
        Ok(None) => builtin(language, role, context)?.operating,
        Err(source) => return Err(TemplateError::Render { path, source }),
    };
    let text = text.into_text().map_err(|source| TemplateError::Read { path: path.clone(), source })?;
    if text.trim().is_empty() {
        return Err(TemplateError::Empty { path });
    }
    Ok(Some(Page { text, operating }))
}

/// The page of the built-in template.
pub(super) fn builtin(
    language: Language,
    role: Role,
    context: &impl Serialize,
) -> Result<Page, TemplateError> {
    let wrong = |e: Error| TemplateError::Builtin(format!("{e}{}", because(&e)));
    let mut text = Vec::new();
    let operating = render(environment(language)?, builtin::name(role), context, &mut text).map_err(wrong)?;
    Ok(Page {
        text: String::from_utf8(text).map_err(|e| TemplateError::Builtin(e.to_string()))?,
        operating: operating.unwrap_or_default(),
    })
}

/// Writes the page and gives the part of it that stands behind a bootstrap's text, if it has such a part: what
/// whoever started it wants it told, and how to report.
fn render(
    env: &Environment<'_>,
    name: &str,
    context: &impl Serialize,
    out: &mut impl io::Write,
) -> Result<Option<String>, Error> {
    let mut page = env.get_template(name)?.render_captured_to(Serde(context), out)?;
    page.with_state_mut(|state| {
        let mut block = |name| match state.render_block(name) {
            Ok(block) => Ok(Some(block)),
            Err(e) if e.kind() == ErrorKind::UnknownBlock => Ok(None),
            Err(e) => Err(e),
        };
        let message = block("message")?.unwrap_or_default();
        let Some(operating) = block("operating")? else { return Ok(None) };
        Ok(Some(match message.trim() {
            "" => operating,
            message => format!("{message}\n\n{operating}"),
        }))
    })
}

fn environment(language: Language) -> Result<&'static Environment<'static>, TemplateError> {
    static EN: LazyLock<Result<Environment<'static>, String>> = LazyLock::new(|| make(Language::En));
    static ZH_CN: LazyLock<Result<Environment<'static>, String>> = LazyLock::new(|| make(Language::ZhCn));
    let made = match language {
        Language::En => &EN,
        Language::ZhCn => &ZH_CN,
    };
    made.as_ref().map_err(|e| TemplateError::Builtin(e.clone()))
}

fn make(language: Language) -> Result<Environment<'static>, String> {
    let build = || -> Result<Environment<'static>, Error> {
        let mut env = Environment::new();
        env.set_undefined_behavior(UndefinedBehavior::Strict);
        // Text of others is kept apart by fences, not by escapes: a prompt is no markup that anything interprets.
        env.set_auto_escape_callback(|_| AutoEscape::None);
        env.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        env.add_filter("fenced", |text: &str| quote::fenced(text));
        env.add_filter("code", |text: &str| quote::code(text));
        env.add_filter("numbered", |items: Serde<Vec<String>>| quote::numbered(&items));
        for (name, source) in builtin::templates(language) {
            env.add_template(name, source)?;
        }
        Ok(env)
    };
    build().map_err(|e| format!("{e:#}"))
}

/// Names of files in the project's folder itself: no way out of it.
fn plain(name: &str) -> bool {
    !name.starts_with('.') && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

/// A file's text; none if there is no such file.
fn read(path: &Path) -> Result<Option<String>, io::Error> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(e) => return Err(e),
    };
    let mut text = String::new();
    file.take(TEMPLATE.saturating_add(1)).read_to_string(&mut text)?;
    if u64::try_from(text.len()).is_ok_and(|n| n <= TEMPLATE) {
        Ok(Some(text))
    } else {
        Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {TEMPLATE} bytes")))
    }
}

/// Takes so much and no more.
#[derive(Default)]
struct Limited {
    bytes: Vec<u8>,
    full: bool,
}

impl Limited {
    fn into_text(self) -> io::Result<String> {
        String::from_utf8(self.bytes).map_err(io::Error::other)
    }
}

impl io::Write for Limited {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        if self.bytes.len().saturating_add(part.len()) > PAGE {
            self.full = true;
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        self.bytes.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
