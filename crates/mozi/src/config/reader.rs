//! Reads a TOML table key by key and remembers where everything stands, so that every mistake is told with its
//! line, its column and what was probably meant; all of them at once.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::{Range, RangeInclusive},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use mozi_api::wire::parse_duration;

use super::registry;

/// A mistake in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub file: PathBuf,
    pub line: usize,
    pub column: usize,
    pub text: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file.display(), self.line, self.column, self.text)
    }
}

/// A length of time; `"0"` switches it off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    Off,
    After(Duration),
}

impl Limit {
    pub(crate) fn get(self) -> Option<Duration> {
        match self {
            Self::Off => None,
            Self::After(d) => Some(d),
        }
    }
}

/// A file under the eye of its reader.
pub(crate) struct Source<'t> {
    file: &'t Path,
    text: &'t str,
    mistakes: RefCell<Vec<Mistake>>,
    /// The lines of the keys that stand in the file.
    lines: RefCell<BTreeMap<String, usize>>,
    /// The patterns of all keys that were asked for.
    asked: RefCell<BTreeSet<String>>,
}

/// On which line of the file each key stands.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Lines(BTreeMap<String, usize>);

impl Lines {
    /// The line of a key or a table.
    pub(crate) fn of(&self, path: &str) -> Option<usize> {
        self.0.get(path).copied()
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys", self.0.len())
    }
}

/// Where a key stands, by its pattern and the name of its table: `agents.coder.timeout`, `hooks.0.on`. A name that
/// TOML would not take bare is quoted.
pub(crate) fn path_of(pattern: &str, name: Option<&str>) -> String {
    let Some(name) = name else { return pattern.to_owned() };
    if pattern.contains('*') {
        return pattern.replacen('*', &quoted(name), 1);
    }
    let (table, key) = pattern.split_once('.').unwrap_or((pattern, ""));
    format!("{table}.{name}.{key}")
}

fn quoted(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(bare) { name.to_owned() } else { format!("{name:?}") }
}

impl<'t> Source<'t> {
    pub(crate) fn new(file: &'t Path, text: &'t str) -> Self {
        Self {
            file,
            text,
            mistakes: RefCell::default(),
            lines: RefCell::default(),
            asked: RefCell::default(),
        }
    }

    /// On which line each key stands.
    pub(crate) fn lines(&self) -> Lines {
        Lines(self.lines.borrow().clone())
    }

    /// The patterns of all keys that were asked for, whether they are there or not.
    #[cfg(test)]
    pub(crate) fn asked(&self) -> BTreeSet<String> {
        self.asked.borrow().clone()
    }

    fn line_at(&self, offset: usize) -> usize {
        self.text.get(..offset).unwrap_or(self.text).matches('\n').count() + 1
    }

    fn stands(&self, path: String, span: &Range<usize>) {
        self.lines.borrow_mut().insert(path, self.line_at(span.start));
    }

    /// All mistakes, in the order of the file.
    pub(crate) fn into_mistakes(self) -> Vec<Mistake> {
        let mut all = self.mistakes.into_inner();
        all.sort_by_key(|m| (m.line, m.column));
        all
    }

    pub(crate) fn mistake(&self, span: Range<usize>, text: impl Into<String>) {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        let file = self.file.to_path_buf();
        self.mistakes.borrow_mut().push(Mistake { file, line, column, text: text.into() });
    }
}

/// A table of the file. Keys that were never asked for are mistakes.
pub(crate) struct Section<'a, 't> {
    source: &'a Source<'t>,
    title: String,
    /// The title with `*` for names of the user's own.
    pattern: String,
    /// The title with the place of a table in a list: `hooks.0`.
    path: String,
    span: Range<usize>,
    table: &'a DeTable<'t>,
}

impl<'a, 't> Section<'a, 't> {
    pub(crate) fn root(source: &'a Source<'t>, table: &'a Spanned<DeTable<'t>>) -> Self {
        let (title, pattern, path) = (String::new(), String::new(), String::new());
        Self { source, title, pattern, path, span: 0..0, table: table.get_ref() }
    }

    fn get(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'t>>> {
        self.source.asked.borrow_mut().insert(below(&self.pattern, key));
        let (name, value) = self.table.iter().find(|(k, _)| k.get_ref() == key)?;
        self.source.stands(below(&self.path, key), &name.span());
        Some(value)
    }

    fn is_not(&self, key: &str, value: &Spanned<DeValue<'t>>, wanted: &str) {
        let is = match value.get_ref() {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a number",
            DeValue::Float(_) => "a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.source.mistake(value.span(), format!("`{key}` must be {wanted}, not {is}"));
    }

    fn text_of(&self, key: &str, value: &'a Spanned<DeValue<'t>>) -> Option<&'a str> {
        match value.get_ref() {
            DeValue::String(s) if s.contains('\0') => {
                self.source.mistake(value.span(), format!("`{key}` must not contain NUL characters"));
                None
            }
            DeValue::String(s) => Some(s),
            _ => {
                self.is_not(key, value, "a text");
                None
            }
        }
    }

    pub(crate) fn string(&self, key: &'static str) -> Option<String> {
        self.text_of(key, self.get(key)?).map(str::to_owned)
    }

    /// A text that is read further; `parse` says what is wrong with it.
    pub(crate) fn parsed<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.get(key)?;
        match parse(self.text_of(key, value)?) {
            Ok(t) => Some(t),
            Err(why) => {
                self.source.mistake(value.span(), format!("`{key}` {why}"));
                None
            }
        }
    }

    /// One of these words.
    pub(crate) fn word<T: Copy>(&self, key: &'static str, words: &[(&'static str, T)]) -> Option<T> {
        self.parsed(key, |text| one_of(text, words))
    }

    /// A list of these words.
    pub(crate) fn words<T: Copy>(&self, key: &'static str, words: &[(&'static str, T)]) -> Option<Vec<T>> {
        let items = self.list(key)?;
        if items.is_empty() {
            let names: Vec<&str> = words.iter().map(|(w, _)| *w).collect();
            self.mistake(Some(key), format!("`{key}` must name at least one of {}", names.join(", ")));
        }
        let read = items.iter().filter_map(|v| {
            let text = self.text_of(key, v)?;
            one_of(text, words).map_err(|why| self.source.mistake(v.span(), format!("`{key}` {why}"))).ok()
        });
        Some(read.collect())
    }

    /// How long, if it is said.
    pub(crate) fn duration(&self, key: &'static str) -> Option<Limit> {
        let value = self.get(key)?;
        if let DeValue::Integer(_) = value.get_ref() {
            self.source.mistake(
                value.span(),
                format!("`{key}` needs a unit: write a text such as \"30s\" or \"2h\""),
            );
            return None;
        }
        match parse_duration(self.text_of(key, value)?) {
            Ok(d) if d.is_zero() => Some(Limit::Off),
            Ok(d) => Some(Limit::After(d)),
            Err(why) => {
                self.source.mistake(value.span(), format!("`{key}` {why}"));
                None
            }
        }
    }

    pub(crate) fn boolean(&self, key: &'static str) -> Option<bool> {
        let value = self.get(key)?;
        if let DeValue::Boolean(b) = value.get_ref() {
            return Some(*b);
        }
        self.is_not(key, value, "true or false");
        None
    }

    pub(crate) fn number(&self, key: &'static str, range: RangeInclusive<u32>) -> Option<u32> {
        let value = self.get(key)?;
        let DeValue::Integer(i) = value.get_ref() else {
            self.is_not(key, value, "a number");
            return None;
        };
        let number = i64::from_str_radix(i.as_str(), i.radix()).ok().and_then(|n| u32::try_from(n).ok());
        let number = number.filter(|n| range.contains(n));
        if number.is_none() {
            let text = format!("`{key}` must be between {} and {}", range.start(), range.end());
            self.source.mistake(value.span(), text);
        }
        number
    }

    fn list(&self, key: &'static str) -> Option<&'a [Spanned<DeValue<'t>>]> {
        let value = self.get(key)?;
        if let DeValue::Array(items) = value.get_ref() {
            return Some(items);
        }
        self.is_not(key, value, "a list");
        None
    }

    pub(crate) fn strings(&self, key: &'static str) -> Option<Vec<String>> {
        let items = self.list(key)?;
        Some(items.iter().filter_map(|v| self.text_of(key, v)).map(str::to_owned).collect())
    }

    /// Either a word or a list of texts.
    pub(crate) fn word_or_strings<T: Copy>(
        &self,
        key: &'static str,
        words: &[(&'static str, T)],
    ) -> Option<Result<T, Vec<String>>> {
        match self.get(key)?.get_ref() {
            DeValue::Array(_) => self.strings(key).map(Err),
            _ => self.word(key, words).map(Ok),
        }
    }

    /// A table of texts.
    pub(crate) fn map(&self, key: &'static str) -> Option<BTreeMap<String, String>> {
        let section = self.section(key)?;
        let mut map = BTreeMap::new();
        for (name, value) in section.table {
            if let Some(text) = section.text_of(name.get_ref(), value) {
                self.source.stands(below(&section.path, name.get_ref()), &name.span());
                map.insert(name.get_ref().to_string(), text.to_owned());
            }
        }
        Some(map)
    }

    fn under(&self, name: &str) -> String {
        below(&self.title, name)
    }

    pub(crate) fn section(&self, key: &'static str) -> Option<Section<'a, 't>> {
        let value = self.get(key)?;
        if let DeValue::Table(table) = value.get_ref() {
            return Some(Self {
                source: self.source,
                title: self.under(key),
                pattern: below(&self.pattern, key),
                path: below(&self.path, key),
                span: value.span(),
                table,
            });
        }
        self.is_not(key, value, &format!("a table: [{}]", self.under(key)));
        None
    }

    /// The tables of a list of tables: `[[hooks]]`.
    pub(crate) fn each(&self, key: &'static str) -> Vec<Section<'a, 't>> {
        let items = self.list(key).unwrap_or_default();
        let mut sections = Vec::new();
        for (i, value) in items.iter().enumerate() {
            if let DeValue::Table(table) = value.get_ref() {
                let path = below(&self.path, &format!("{key}.{i}"));
                self.source.stands(path.clone(), &value.span());
                sections.push(Self {
                    source: self.source,
                    title: self.under(key),
                    pattern: below(&self.pattern, key),
                    path,
                    span: value.span(),
                    table,
                });
            } else {
                self.is_not(key, value, &format!("a list of tables: [[{}]]", self.under(key)));
            }
        }
        sections
    }

    /// The tables below a table, by their ids: `[agents.coder]`. Ids that differ only in case are one id.
    pub(crate) fn named<I: FromStr + Eq>(&self, key: &'static str) -> Vec<(I, Section<'a, 't>)>
    where
        I::Err: fmt::Display,
    {
        let Some(parent) = self.section(key) else { return Vec::new() };
        let mut found: Vec<(I, Section<'a, 't>)> = Vec::new();
        for (name, value) in parent.table {
            let title = parent.under(&quoted(name.get_ref()));
            let DeValue::Table(table) = value.get_ref() else {
                parent.is_not(name.get_ref(), value, &format!("a table: [{title}]"));
                continue;
            };
            match name.get_ref().parse::<I>() {
                Ok(id) if found.iter().any(|(other, _)| *other == id) => {
                    let text = format!("[{title}] is there twice: ids are the same whatever their case");
                    self.source.mistake(name.span(), text);
                }
                Ok(id) => {
                    let pattern = below(&parent.pattern, "*");
                    self.source.stands(title.clone(), &name.span());
                    let path = title.clone();
                    found.push((
                        id,
                        Self { source: self.source, title, pattern, path, span: name.span(), table },
                    ));
                }
                Err(why) => self.source.mistake(name.span(), why.to_string()),
            }
        }
        found
    }

    /// A mistake of the section as a whole, or of one of its values.
    pub(crate) fn mistake(&self, key: Option<&str>, text: impl Into<String>) {
        let value = key.and_then(|k| self.table.iter().find(|(name, _)| name.get_ref() == k));
        self.source.mistake(value.map_or_else(|| self.span.clone(), |(_, v)| v.span()), text);
    }

    pub(crate) fn title(&self) -> &str {
        &self.title
    }

    /// Whether the key stands in the file.
    pub(crate) fn has(&self, key: &'static str) -> bool {
        self.table.iter().any(|(k, _)| k.get_ref() == key)
    }

    /// Ends the reading: whatever is no key of this table is a mistake.
    pub(crate) fn finish(self) {
        let mut known = registry::keys_of(&self.pattern);
        for (name, _) in self.table {
            let name_ = name.get_ref().as_ref();
            if known.contains(&name_) {
                continue;
            }
            let place = if self.title.is_empty() { String::new() } else { format!(" in [{}]", self.title) };
            let mut text = format!("unknown key `{name_}`{place}");
            if let Some(near) = nearest(name_, &known) {
                text.push_str(&format_near(near));
            } else if let Some(other) = registry::elsewhere(name_) {
                text.push_str(": it belongs into ");
                text.push_str(&other);
            } else {
                known.sort_unstable();
                text.push_str("; known here: ");
                text.push_str(&known.join(", "));
            }
            self.source.mistake(name.span(), text);
        }
    }
}

fn below(table: &str, key: &str) -> String {
    if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") }
}

fn format_near(near: &str) -> String {
    format!(": did you mean `{near}`?")
}

fn one_of<T: Copy>(text: &str, words: &[(&'static str, T)]) -> Result<T, String> {
    if let Some((_, value)) = words.iter().find(|(w, _)| *w == text) {
        return Ok(*value);
    }
    let names: Vec<&str> = words.iter().map(|(w, _)| *w).collect();
    let near = nearest(text, &names).map(format_near).unwrap_or_default();
    Err(format!("is one of {}, not {text:?}{near}", names.join(", ")))
}

/// The word that was probably meant.
pub(crate) fn nearest<'w>(text: &str, words: &[&'w str]) -> Option<&'w str> {
    let score = |w: &str| strsim::jaro_winkler(&text.to_lowercase(), w);
    words
        .iter()
        .map(|w| (*w, score(w)))
        .filter(|(_, s)| *s > 0.8)
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(w, _)| w)
}
