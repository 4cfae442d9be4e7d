//! Reads a TOML table key by key and remembers where everything stands, so that every mistake is told with its
//! line, its column and what was probably meant; all of them at once.

use std::{
    cell::RefCell,
    collections::BTreeMap,
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
}

impl<'t> Source<'t> {
    pub(crate) fn new(file: &'t Path, text: &'t str) -> Self {
        Self { file, text, mistakes: RefCell::new(Vec::new()) }
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
    span: Range<usize>,
    table: &'a DeTable<'t>,
    known: RefCell<Vec<&'static str>>,
}

impl<'a, 't> Section<'a, 't> {
    pub(crate) fn root(source: &'a Source<'t>, table: &'a Spanned<DeTable<'t>>) -> Self {
        Self::at(source, String::new(), 0..0, table.get_ref())
    }
    fn at(source: &'a Source<'t>, title: String, span: Range<usize>, table: &'a DeTable<'t>) -> Self {
        Self { source, title, span, table, known: RefCell::default() }
    }

    fn get(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'t>>> {
        self.known.borrow_mut().push(key);
        self.table.iter().find(|(k, _)| k.get_ref() == key).map(|(_, v)| v)
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
                map.insert(name.get_ref().to_string(), text.to_owned());
            }
        }
        Some(map)
    }

    fn under(&self, name: &str) -> String {
        if self.title.is_empty() { name.to_owned() } else { format!("{}.{name}", self.title) }
    }

    pub(crate) fn section(&self, key: &'static str) -> Option<Section<'a, 't>> {
        let value = self.get(key)?;
        if let DeValue::Table(table) = value.get_ref() {
            return Some(Self::at(self.source, self.under(key), value.span(), table));
        }
        self.is_not(key, value, &format!("a table: [{}]", self.under(key)));
        None
    }

    /// The tables of a list of tables: `[[hooks]]`.
    pub(crate) fn each(&self, key: &'static str) -> Vec<Section<'a, 't>> {
        let items = self.list(key).unwrap_or_default();
        let mut sections = Vec::new();
        for value in items {
            if let DeValue::Table(table) = value.get_ref() {
                sections.push(Self::at(self.source, self.under(key), value.span(), table));
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
            let title = parent.under(name.get_ref());
            let DeValue::Table(table) = value.get_ref() else {
                parent.is_not(name.get_ref(), value, &format!("a table: [{title}]"));
                continue;
            };
            match name.get_ref().parse::<I>() {
                Ok(id) if found.iter().any(|(other, _)| *other == id) => {
                    let text = format!("[{title}] is there twice: ids are the same whatever their case");
                    self.source.mistake(name.span(), text);
                }
                Ok(id) => found.push((id, Self::at(self.source, title, name.span(), table))),
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
        self.known.borrow_mut().push(key);
        self.table.iter().any(|(k, _)| k.get_ref() == key)
    }

    /// Ends the reading: whatever was never asked for is a mistake.
    pub(crate) fn finish(self) {
        let known = self.known.into_inner();
        for (name, _) in self.table {
            let name_ = name.get_ref().as_ref();
            if known.contains(&name_) {
                continue;
            }
            let place = if self.title.is_empty() { String::new() } else { format!(" in [{}]", self.title) };
            let mut text = format!("unknown key `{name_}`{place}");
            if let Some(near) = nearest(name_, &known) {
                text.push_str(&format_near(near));
            } else {
                let mut all = known.clone();
                all.sort_unstable();
                all.dedup();
                text.push_str("; known here: ");
                text.push_str(&all.join(", "));
            }
            self.source.mistake(name.span(), text);
        }
    }
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
