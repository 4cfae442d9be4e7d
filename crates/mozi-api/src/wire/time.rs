//! Points in time on the wire.

use std::{borrow::Cow, fmt, str::FromStr};

use mozi_core::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr, Schema,
        schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type},
    },
};

use super::{BadText, quoted};

/// A point in time: RFC 3339 with a zone, shown in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Time(pub Timestamp);

impl Time {
    /// The same, for local display and arithmetic. What lies beyond the calendar is its nearest end.
    pub fn to_jiff(self) -> jiff::Timestamp {
        let (min, max) = (jiff::Timestamp::MIN.as_microsecond(), jiff::Timestamp::MAX.as_microsecond());
        jiff::Timestamp::from_microsecond(self.0.as_micros().clamp(min, max))
            .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }
}

impl From<Timestamp> for Time {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

impl From<jiff::Timestamp> for Time {
    fn from(at: jiff::Timestamp) -> Self {
        Self(Timestamp::from_micros(at.as_microsecond()))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.to_jiff().to_string())
    }
}

impl FromStr for Time {
    type Err = BadText;
    fn from_str(text: &str) -> Result<Self, BadText> {
        let bad = || BadText(format!("is {TAKES}, not {}", quoted(text)));
        // The library also takes shorter forms and a zone's name in brackets: neither is RFC 3339.
        let dated = text.as_bytes().get(10).is_some_and(|b| matches!(b, b'T' | b't' | b' '));
        if !dated || text.contains('[') {
            return Err(bad());
        }
        text.parse::<jiff::Timestamp>().map(Into::into).map_err(|_| {
            // A good time but for its year is beyond the calendar.
            let nearer = text.get(4..).map(|rest| format!("9998{rest}"));
            if text.starts_with("9999") && nearer.is_some_and(|t| t.parse::<jiff::Timestamp>().is_ok()) {
                return BadText(format!("is a time up to {}, not {}", jiff::Timestamp::MAX, quoted(text)));
            }
            bad()
        })
    }
}

const TAKES: &str =
    "a time in RFC 3339 with its zone, like 2026-08-01T12:00:00Z or 2026-08-01T20:00:00+08:00";

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&self.to_jiff())
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Time;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(TAKES)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Time, E> {
                text.parse().map_err(E::custom)
            }
        }
        d.deserialize_str(Visitor)
    }
}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .description(Some("RFC 3339, with a zone; shown in UTC."))
            .into()
    }
}

impl ToSchema for Time {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Time")
    }
}
