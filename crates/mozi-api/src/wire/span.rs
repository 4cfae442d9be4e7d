//! Durations with units.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr, Schema,
        schema::{ObjectBuilder, Type},
    },
};

use super::{BadText, quoted};

/// A duration as text with units: `10s`, `5m`, `1h 30m`, `2d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Span(pub Duration);

const TAKES: &str = "a duration with its unit, like 90s, 5m, 1h30m or 2d";

/// The duration of a text with units; a day has 24 hours. `0` needs no unit.
///
/// # Errors
/// What a duration looks like, as a fragment after the name of what was asked for.
pub fn parse_duration(text: &str) -> Result<Duration, BadText> {
    let bad = || BadText(format!("is {TAKES}, not {}", quoted(text)));
    let trimmed = text.trim();
    if trimmed == "0" {
        return Ok(Duration::ZERO);
    }
    if !trimmed.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(bad());
    }
    let span: jiff::Span = trimmed.parse().map_err(|_| bad())?;
    let exact = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|_| bad())?;
    exact.try_into().map_err(|_| bad())
}

/// A duration as text with units.
pub fn show_duration(duration: Duration) -> String {
    let exact = jiff::SignedDuration::try_from(duration).unwrap_or(jiff::SignedDuration::MAX);
    if exact.is_zero() { "0s".to_owned() } else { format!("{exact:#}") }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&show_duration(self.0))
    }
}

impl FromStr for Span {
    type Err = BadText;
    fn from_str(text: &str) -> Result<Self, BadText> {
        parse_duration(text).map(Self)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&show_duration(self.0))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Span;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(TAKES)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                text.parse().map_err(E::custom)
            }
        }
        d.deserialize_str(Visitor)
    }
}

impl PartialSchema for Span {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("A duration with its unit: `90s`, `5m`, `1h30m`, `2d`."))
            .examples(["10s"])
            .into()
    }
}

impl ToSchema for Span {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Duration")
    }
}
