//! A row of the table of fields: a field's name, its allowed values, and its reader.

use super::value::Expected;
use super::{MAX_FIELD_BYTES, Parameters, data_url};

/// A field under one of its names.
#[derive(Clone, Copy)]
pub struct Field {
    /// Its name in a request; a list may have `[]` after it.
    pub name: &'static str,
    /// How it may be sent.
    pub shape: FieldShape,
    /// The allowed values of the field or of its items; `read` refuses all others.
    pub kind: ValueKind,
    /// Reads a value that is not blank into the parameters.
    pub read: FieldReader,
    /// The value that applies if the field is not sent.
    pub default: FieldDefault,
    /// Its effect, or the field that it is another name for.
    pub description: FieldDescription,
}

/// How a field may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldShape {
    /// Once.
    Single,
    /// More than once, under its name with or without `[]`.
    List,
    /// As a JSON object, whose members are fields `name[key]`.
    Object,
}

/// The allowed values of a field or of an item of a list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ValueKind {
    /// Any text, or the texts that the description names.
    Text,
    /// `true` or `false`.
    Boolean,
    /// A number from the first to the second.
    Number(f64, f64),
    /// The same, or `none`.
    OptionalNumber(f64, f64),
    /// A whole number from the first to the second.
    Integer(i64, i64),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A URL that contains the data itself, in base64.
    DataUrl,
}

/// The value that applies if a field is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldDefault {
    /// The same as if this value had been sent.
    Value(&'static str),
    /// A value that cannot be sent or depends on others, in words.
    Described(&'static str),
}

/// The effect of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldDescription {
    /// Its effect.
    Text(&'static str),
    /// The same as the field of this name.
    AliasOf(&'static str),
}

/// Reads a field's value into the parameters.
pub type FieldReader = fn(&mut Parameters, &str) -> Result<(), Expected>;

impl ValueKind {
    /// The most bytes of a value.
    pub fn max_bytes(self) -> usize {
        match self {
            Self::DataUrl => data_url::MAX_TEXT_BYTES,
            Self::Text
            | Self::Boolean
            | Self::Number(..)
            | Self::OptionalNumber(..)
            | Self::Integer(..)
            | Self::OneOf(_) => MAX_FIELD_BYTES,
        }
    }
}

impl Field {
    /// A field that is sent once.
    pub const fn single(name: &'static str, kind: ValueKind, read: FieldReader) -> Self {
        Self {
            name,
            shape: FieldShape::Single,
            kind,
            read,
            default: FieldDefault::Described("none"),
            description: FieldDescription::Text(""),
        }
    }

    /// A list of items of this kind.
    pub const fn list(name: &'static str, kind: ValueKind, read: FieldReader) -> Self {
        Self {
            shape: FieldShape::List,
            ..Self::single(name, kind, read)
        }
    }

    /// An object, whose members have rows of their own; one of these words may be sent instead.
    pub const fn object(
        name: &'static str,
        words: &'static [&'static str],
        read: FieldReader,
    ) -> Self {
        Self {
            shape: FieldShape::Object,
            ..Self::single(name, ValueKind::OneOf(words), read)
        }
    }

    /// Sets the value that has the same effect as not sending the field.
    pub const fn default(mut self, value: &'static str) -> Self {
        self.default = FieldDefault::Value(value);
        self
    }

    /// Sets a default that is described in words.
    pub const fn described_default(mut self, words: &'static str) -> Self {
        self.default = FieldDefault::Described(words);
        self
    }

    /// Sets its effect, in the words of the documentation.
    pub const fn describe(mut self, effect: &'static str) -> Self {
        self.description = FieldDescription::Text(effect);
        self
    }

    /// Makes it another name for the field of this name.
    pub const fn alias_of(mut self, name: &'static str) -> Self {
        self.description = FieldDescription::AliasOf(name);
        self
    }

    /// The preferred name in a request: that of a list ends with `[]`.
    pub fn sent_name(&self) -> String {
        match self.shape {
            FieldShape::List => format!("{}[]", self.name),
            FieldShape::Single | FieldShape::Object => self.name.to_owned(),
        }
    }

    /// The object that it is a member of, and its key in it.
    pub fn member(&self) -> Option<(&'static str, &'static str)> {
        let (object, key) = self.name.strip_suffix(']')?.split_once('[')?;
        (!key.is_empty()).then_some((object, key))
    }
}
