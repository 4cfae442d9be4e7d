//! Bodies of requests: JSON or not, and if JSON, which field is wrong and what it takes.

use mozi_core as core;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::problem::Problem;

/// A field that is wrong, and why: a fragment that follows the field's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {why}")]
pub struct Invalid {
    /// Which field, as a path: `depends_on[1].until`.
    pub field: String,
    /// Why.
    pub why: String,
}

impl Invalid {
    /// A field and why it is wrong.
    pub fn new(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self { field: field.into(), why: why.into() }
    }
}

impl From<Invalid> for core::Refusal {
    fn from(i: Invalid) -> Self {
        Self::Invalid { field: i.field, why: i.why }
    }
}

/// Why a body was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadBody {
    /// It is not JSON in UTF-8, or nested too deeply: 400.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// It is JSON, but wrong: 422.
    #[error(transparent)]
    Wrong(#[from] Invalid),
}

impl From<BadBody> for Problem {
    fn from(bad: BadBody) -> Self {
        let text = bad.to_string();
        match bad {
            BadBody::NotJson(_) => Self::new(400, "invalid_body", text),
            BadBody::Wrong(Invalid { field, why: _ }) => {
                Self::new(422, "invalid_body", text).with("field", field)
            }
        }
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        BadBody::Wrong(invalid).into()
    }
}

/// Reads a strict body: a field that is not known is refused by name.
///
/// # Errors
/// When it is not JSON, or JSON that is not a `T`.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BadBody> {
    let text = object(bytes)?;
    let value = serde_json::from_str(text).map_err(|e| explain::<T>(text, &e))?;
    no_nul(text)?;
    Ok(value)
}

/// The same for a body that may be left out.
///
/// # Errors
/// As [`parse`].
pub fn parse_or_default<T: DeserializeOwned + Default>(bytes: &[u8]) -> Result<T, BadBody> {
    if bytes.iter().all(u8::is_ascii_whitespace) || bytes == [0xef, 0xbb, 0xbf] {
        Ok(T::default())
    } else {
        parse(bytes)
    }
}

/// Reads a lenient body: fields that are not known are ignored, with a warning for each.
///
/// # Errors
/// When it is not JSON, or a known field is wrong.
pub fn parse_lenient<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, Vec<String>), BadBody> {
    let text = object(bytes)?;
    let mut warnings = Vec::new();
    let mut json = serde_json::Deserializer::from_str(text);
    let read = serde_ignored::deserialize(&mut json, |path| {
        // Bounded: a body of a megabyte may hold very many names.
        if warnings.len() < 20 {
            warnings.push(format!("the field {:?} is not known and was ignored", path.to_string()));
        }
    });
    let value = read.and_then(|v| json.end().map(|()| v)).map_err(|e| explain::<T>(text, &e))?;
    no_nul(text)?;
    Ok((value, warnings))
}

/// Serde would take a list in place of an object, its items in the order in which we happen to write the fields.
fn object(bytes: &[u8]) -> Result<&str, BadBody> {
    let text = utf8(bytes)?;
    if text.trim_ascii_start().starts_with('{') {
        return Ok(text);
    }
    let value: Value = serde_json::from_str(text).map_err(|e| BadBody::NotJson(e.to_string()))?;
    let got = match &value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        other => crate::wire::shortened(&other.to_string()),
    };
    Err(Invalid::new("body", format!("must be an object, not {got}")).into())
}

fn utf8(bytes: &[u8]) -> Result<&str, BadBody> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(BadBody::NotJson("it is in UTF-16, send UTF-8".to_owned()));
    }
    // Some editors and shells begin a file with a mark that says nothing in UTF-8.
    let bytes = bytes.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(bytes);
    std::str::from_utf8(bytes)
        .map_err(|e| BadBody::NotJson(format!("invalid UTF-8 at byte {}", e.valid_up_to())))
}

/// A NUL can only come as an escape. Databases and programs cut texts there, so no field takes one.
fn no_nul(text: &str) -> Result<(), BadBody> {
    if !text.contains("\\u0000") {
        return Ok(());
    }
    // The backslash before the `u` may itself be escaped: look at the values.
    let value: Value = serde_json::from_str(text).map_err(|e| BadBody::NotJson(e.to_string()))?;
    match nul_in(&value) {
        None => Ok(()),
        Some(path) => Err(Invalid::new(path, "must not contain NUL characters").into()),
    }
}

fn nul_in(value: &Value) -> Option<String> {
    let join = |head: String, tail: &str| {
        let dot = if tail.is_empty() || tail.starts_with('[') { "" } else { "." };
        format!("{head}{dot}{tail}")
    };
    match value {
        Value::String(s) => s.contains('\0').then(String::new),
        Value::Array(list) => {
            list.iter().enumerate().find_map(|(i, v)| nul_in(v).map(|p| join(format!("[{i}]"), &p)))
        }
        Value::Object(map) => map.iter().find_map(|(name, v)| {
            let bare = name.replace('\0', "");
            if bare.len() == name.len() { nul_in(v).map(|p| join(bare, &p)) } else { Some(bare) }
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// Reads the body a second time, to say where it is wrong: only what is refused pays for it.
fn explain<T: DeserializeOwned>(text: &str, error: &serde_json::Error) -> BadBody {
    let message = bare(error);
    let out_of_range = message == "number out of range";
    if error.is_syntax() && !out_of_range || error.is_eof() {
        return BadBody::NotJson(error.to_string());
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let path = match serde_path_to_error::deserialize::<_, T>(&mut json) {
        Err(e) => e.path().to_string(),
        Ok(_) => String::new(),
    };
    let path = path.trim_start_matches('.').trim_start_matches('?').to_owned();
    if out_of_range {
        return Invalid::new(or_body(path), "is a number out of range").into();
    }
    spell(&path, &message).into()
}

fn or_body(path: String) -> String {
    if path.is_empty() { "body".to_owned() } else { path }
}

/// The message without the place that `serde_json` adds.
fn bare(error: &serde_json::Error) -> String {
    let whole = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    whole.strip_suffix(&place).unwrap_or(&whole).to_owned()
}

/// Serde's words in ours.
fn spell(path: &str, message: &str) -> Invalid {
    // The path of a name that is itself wrong may or may not end in it.
    let of_name = |name: &str| {
        let parent = path.strip_suffix(name).unwrap_or(path).trim_end_matches('.');
        if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") }
    };
    if let Some(name) = message.strip_prefix("missing field ") {
        let name = name.trim_matches('`');
        let parent = if path.is_empty() { String::new() } else { format!("{path}.") };
        return Invalid::new(format!("{parent}{name}"), "is missing");
    }
    if let Some(name) = message.strip_prefix("duplicate field ") {
        return Invalid::new(of_name(name.trim_matches('`')), "is given twice");
    }
    if let Some((name, known)) = message.strip_prefix("unknown field `").and_then(|m| m.split_once('`')) {
        let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        return Invalid::new(of_name(name), unknown(name, &known));
    }
    let typed = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    if let Some((got, takes)) = typed.and_then(|m| m.rsplit_once(", expected ")) {
        return Invalid::new(
            or_body(path.to_owned()),
            format!("must be {}, not {}", takes_in_words(takes), got_in_words(got)),
        );
    }
    Invalid::new(or_body(path.to_owned()), message)
}

/// Why a name is refused: what was probably meant, or what there is.
pub(crate) fn unknown(name: &str, known: &[&str]) -> String {
    match nearest(name, known) {
        Some(near) => format!("is not known; did you mean `{near}`?"),
        None if known.is_empty() => "is not known: nothing is taken here".to_owned(),
        None => format!("is not known; known are {}", known.join(", ")),
    }
}

/// The known name that is nearest to a wrong one, if one is near.
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let scored = known.iter().map(|k| (strsim::jaro_winkler(&name.to_lowercase(), k), *k));
    scored.filter(|(score, _)| *score >= 0.8).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, k)| k)
}

fn takes_in_words(takes: &str) -> String {
    match takes {
        "u8" => format!("a whole number from 0 to {}", u8::MAX),
        "u16" => format!("a whole number from 0 to {}", u16::MAX),
        "u32" => format!("a whole number from 0 to {}", u32::MAX),
        "u64" => format!("a whole number from 0 to {}", u64::MAX),
        "i32" => format!("a whole number from {} to {}", i32::MIN, i32::MAX),
        "i64" => format!("a whole number from {} to {}", i64::MIN, i64::MAX),
        "f64" => "a number".to_owned(),
        "a string" => "a text".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "an object".to_owned(),
        other if other.starts_with("struct ") => "an object".to_owned(),
        other => other.to_owned(),
    }
}

fn got_in_words(got: &str) -> String {
    match got {
        "map" => "an object".to_owned(),
        "sequence" => "a list".to_owned(),
        other => {
            let value = other.split_once(' ').filter(|(kind, _)| !kind.is_empty());
            let value = value.map_or(other, |(_, v)| v.strip_prefix("point ").unwrap_or(v));
            crate::wire::shortened(value.trim_matches('`'))
        }
    }
}
