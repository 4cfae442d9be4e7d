//! How single values travel: ids and words as text, times in RFC 3339, durations with units.
//!
//! The types of `mozi-core` are not serialisable on purpose. [`Text`] and its neighbours wrap them, so that a body
//! holds parsed values and every refusal says what the field takes.

use std::{borrow::Cow, fmt, ops::Deref, str::FromStr};

use mozi_core as core;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr, Schema,
        schema::{ObjectBuilder, SchemaFormat, Type},
    },
};

pub use object::Object;
pub use span::{Span, parse_duration, show_duration};
pub use time::Time;

mod object;
mod span;
mod time;

/// A value that travels as its text.
pub trait Wire: Sized {
    /// The name of its schema.
    const NAME: &'static str;
    /// Its text.
    fn to_text(&self) -> Cow<'_, str>;
    /// The value of a text.
    ///
    /// # Errors
    /// What the field takes, as a fragment after the field's name.
    fn from_text(text: &str) -> Result<Self, String>;
    /// What it takes, as in "must be …".
    fn takes() -> String;
    /// Its schema.
    fn describe() -> ObjectBuilder;
}

/// A value of the rules, as its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text<T>(pub T);

impl<T> Text<T> {
    /// The value.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> From<T> for Text<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T> Deref for Text<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Wire> fmt::Display for Text<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.to_text())
    }
}

/// Why a text is not a value: a fragment that fits after the name of what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadText(pub String);

impl<T: Wire> FromStr for Text<T> {
    type Err = BadText;
    fn from_str(text: &str) -> Result<Self, BadText> {
        T::from_text(text).map(Self).map_err(BadText)
    }
}

impl<T: Wire> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0.to_text())
    }
}

impl<'de, T: Wire> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor<T>(std::marker::PhantomData<T>);
        impl<T: Wire> de::Visitor<'_> for Visitor<T> {
            type Value = Text<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&T::takes())
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<T>, E> {
                T::from_text(text).map(Text).map_err(E::custom)
            }
        }
        d.deserialize_str(Visitor(std::marker::PhantomData))
    }
}

impl<T: Wire> PartialSchema for Text<T> {
    fn schema() -> RefOr<Schema> {
        T::describe().into()
    }
}

impl<T: Wire> ToSchema for Text<T> {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed(T::NAME)
    }
}

/// What was given, short enough for a message.
pub(crate) fn quoted(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    if short.len() < text.len() { format!("{short:?}…") } else { format!("{short:?}") }
}

/// The same without quotes.
pub(crate) fn shortened(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}

macro_rules! ids {
    ($($alias:ident = $core:ty, $doc:literal;)+) => {$(
        #[doc = $doc]
        pub type $alias = Text<$core>;

        impl Wire for $core {
            const NAME: &'static str = stringify!($alias);
            fn to_text(&self) -> Cow<'_, str> {
                Cow::Borrowed(self.as_str())
            }
            fn from_text(text: &str) -> Result<Self, String> {
                text.parse().map_err(|e: core::BadId| e.to_string())
            }
            fn takes() -> String {
                "an id".to_owned()
            }
            fn describe() -> ObjectBuilder {
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .pattern(Some("^[A-Za-z0-9][A-Za-z0-9._-]{0,126}$"))
                    .description(Some($doc))
            }
        }
    )+};
}

ids! {
    ProjectId = core::ProjectId, "The id of a project.";
    TaskId = core::TaskId, "The id of a task, unique within its project.";
    AgentId = core::AgentId, "The id of an agent.";
    RunnerId = core::RunnerId, "The id of a runner.";
}

/// The id of a session, a UUID.
pub type SessionId = Text<core::SessionId>;

impl Wire for core::SessionId {
    const NAME: &'static str = "SessionId";
    fn to_text(&self) -> Cow<'_, str> {
        Cow::Owned(self.to_string())
    }
    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("is a UUID, not {}", quoted(text)))
    }
    fn takes() -> String {
        "a UUID".to_owned()
    }
    fn describe() -> ObjectBuilder {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::Custom("uuid".to_owned())))
            .description(Some("The id of a session."))
    }
}

macro_rules! words {
    ($($alias:ident = $core:ty, $doc:literal;)+) => {$(
        #[doc = $doc]
        pub type $alias = Text<$core>;

        impl Wire for $core {
            const NAME: &'static str = stringify!($alias);
            fn to_text(&self) -> Cow<'_, str> {
                Cow::Borrowed(self.as_str())
            }
            fn from_text(text: &str) -> Result<Self, String> {
                Self::parse(text).ok_or_else(|| format!("is {}, not {}", Self::takes(), quoted(text)))
            }
            fn takes() -> String {
                let words: Vec<_> = Self::ALL.iter().map(|w| w.as_str()).collect();
                format!("one of {}", words.join(", "))
            }
            fn describe() -> ObjectBuilder {
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .enum_values(Some(Self::ALL.iter().map(|w| w.as_str())))
                    .description(Some($doc))
            }
        }
    )+};
}

/// The same for values whose words are not those of the rules.
macro_rules! named {
    ($($alias:ident = $of:ty, $doc:literal { $($variant:ident => $word:literal),+ $(,)? })+) => {$(
        #[doc = $doc]
        pub type $alias = $crate::wire::Text<$of>;

        impl $crate::wire::Wire for $of {
            const NAME: &'static str = stringify!($alias);
            fn to_text(&self) -> std::borrow::Cow<'_, str> {
                std::borrow::Cow::Borrowed(match self { $(Self::$variant => $word),+ })
            }
            fn from_text(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    other => Err(format!("is {}, not {}", Self::takes(), $crate::wire::quoted(other))),
                }
            }
            fn takes() -> String {
                format!("one of {}", [$($word),+].join(", "))
            }
            fn describe() -> utoipa::openapi::schema::ObjectBuilder {
                utoipa::openapi::schema::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .enum_values(Some([$($word),+]))
                    .description(Some($doc))
            }
        }
    )+};
}
pub(crate) use named;

words! {
    Status = core::Status, "Where a task is.";
    Until = core::Until, "How far a dependency must have come.";
    OutputType = core::OutputType, "What kind of thing an output is.";
    Role = core::Role, "What an attempt is for.";
    Verdict = core::Verdict, "What an agent said of its task.";
    VerdictMode = core::VerdictMode, "How an agent's verdict is known.";
    Outcome = core::Outcome, "How an attempt ended.";
    Reason = core::Reason, "Why an attempt ended so.";
    ActorKind = core::ActorKind, "What kind of actor did something.";
    UserRole = core::UserRole, "What a token may do.";
    HoldUp = core::session::HoldUp, "What kind of thing holds up the end of a session.";
    Dispatch = core::project::Dispatch, "Whether tasks are claimed by themselves.";
    RequireOutput = core::project::RequireOutput, "Whether a verdict `review` needs an output of the attempt.";
    OnNoVerdict = core::project::OnNoVerdict, "What follows exit 0 without a verdict.";
    RetryOrBlock = core::project::RetryOrBlock, "What follows a lost or timed out attempt.";
    Language = core::project::Language, "The language of prompts.";
}

/// Who decides on a result: `human`, `none` or an agent's id.
pub type Review = Text<core::project::Review>;

impl Wire for core::project::Review {
    const NAME: &'static str = "Review";
    fn to_text(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.as_str())
    }
    fn from_text(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|_| format!("is {}, not {}", Self::takes(), quoted(text)))
    }
    fn takes() -> String {
        "human, none or an agent's id".to_owned()
    }
    fn describe() -> ObjectBuilder {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("Who decides on a result: `human`, `none` or an agent's id."))
    }
}

/// A SHA-256 in lower-case hex: of a token, never the token itself.
pub type Hash = Text<core::TokenHash>;

impl Wire for core::TokenHash {
    const NAME: &'static str = "Sha256";
    fn to_text(&self) -> Cow<'_, str> {
        let digit = |n: u8| char::from_digit(u32::from(n), 16).unwrap_or('0');
        Cow::Owned(self.0.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect())
    }
    fn from_text(text: &str) -> Result<Self, String> {
        let bad = || format!("is {}, not {}", Self::takes(), quoted(text));
        let digits: Vec<u8> = text
            .chars()
            .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
            .collect::<Option<_>>()
            .ok_or_else(bad)?;
        let bytes: Vec<u8> = digits.chunks(2).map(|c| c.iter().fold(0, |n, d| n << 4 | d)).collect();
        let whole = if digits.len() == 64 { bytes.try_into().ok() } else { None };
        whole.map(Self).ok_or_else(bad)
    }
    fn takes() -> String {
        "a SHA-256 in 64 hex digits".to_owned()
    }
    fn describe() -> ObjectBuilder {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some("^[0-9a-f]{64}$"))
            .description(Some("A SHA-256 in hex."))
    }
}

/// For a field of a PATCH: absent leaves it, `null` (where the field may be empty) clears it.
///
/// # Errors
/// When the value is not what the field takes.
pub(crate) fn given<'de, D, T>(d: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(d).map(Some)
}

/// For a field that holds an object: Serde would take a list too.
///
/// # Errors
/// When the value is no object, or not such a one.
pub(crate) fn object_of<'de, D, T>(d: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Visitor<T>(std::marker::PhantomData<T>);
    impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Visitor<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(de::value::MapAccessDeserializer::new(map))
        }
    }
    d.deserialize_map(Visitor(std::marker::PhantomData))
}
