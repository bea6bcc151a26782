//! Reads the fields of a session's configuration from JSON.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

/// A JSON object.
pub type Object = Map<String, Value>;

/// What a client does to a field.
#[derive(Clone, Copy, Debug)]
pub enum Change<T> {
    /// It leaves the field as it is.
    Keep,
    /// It clears the field.
    Clear,
    /// It sets the field.
    Set(T),
}

/// A field has a value that is not allowed.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidField {
    /// Its path below the session, `audio.input.format.rate`.
    pub path: String,
    /// Its value as JSON.
    pub value: String,
    /// The allowed values, as a phrase that follows "Expected".
    pub expected: String,
}

/// An object of the session, with its path.
#[derive(Clone, Copy, Debug)]
pub struct FieldReader<'a> {
    object: &'a Object,
    path: &'static str,
}

impl<'a> FieldReader<'a> {
    /// The fields of `object`, which is at `path` below the session.
    pub fn new(object: &'a Object, path: &'static str) -> Self {
        Self { object, path }
    }

    /// The object at `path`, in the field of that path's last part.
    pub fn object(&self, path: &'static str) -> Result<Change<FieldReader<'a>>, InvalidField> {
        let name = path.rsplit('.').next().unwrap_or(path);
        match self.object.get(name) {
            None => Ok(Change::Keep),
            Some(Value::Null) => Ok(Change::Clear),
            Some(Value::Object(object)) => Ok(Change::Set(FieldReader { object, path })),
            Some(_) => Err(self.invalid(name, "an object or null")),
        }
    }

    /// A text; an empty one keeps the field, because many clients send every field.
    pub fn text(&self, name: &str) -> Result<Change<&'a str>, InvalidField> {
        match self.object.get(name) {
            None => Ok(Change::Keep),
            Some(Value::Null) => Ok(Change::Clear),
            Some(Value::String(text)) if text.trim().is_empty() => Ok(Change::Keep),
            Some(Value::String(text)) => Ok(Change::Set(text)),
            Some(_) => Err(self.invalid(name, "a string or null")),
        }
    }

    /// A list of texts.
    pub fn texts(&self, name: &str) -> Result<Change<Vec<String>>, InvalidField> {
        let items = match self.object.get(name) {
            None => return Ok(Change::Keep),
            Some(Value::Null) => return Ok(Change::Clear),
            Some(Value::Array(items)) => items,
            Some(_) => return Err(self.invalid(name, "a list of strings or null")),
        };
        let texts = items.iter().map(|item| item.as_str().map(str::to_owned));
        match texts.collect() {
            Some(texts) => Ok(Change::Set(texts)),
            None => Err(self.invalid(name, "a list of strings or null")),
        }
    }

    /// One of these words.
    pub fn word(
        &self,
        name: &str,
        words: &[&'static str],
    ) -> Result<Change<&'static str>, InvalidField> {
        match self.text(name)? {
            Change::Keep => Ok(Change::Keep),
            Change::Clear => Ok(Change::Clear),
            Change::Set(text) => match words.iter().find(|word| **word == text) {
                Some(word) => Ok(Change::Set(*word)),
                None => Err(self.invalid(name, &words.join(" or "))),
            },
        }
    }

    /// A number.
    pub fn number(
        &self,
        name: &str,
        range: RangeInclusive<f64>,
    ) -> Result<Change<f64>, InvalidField> {
        let value = match self.object.get(name) {
            None => return Ok(Change::Keep),
            Some(Value::Null) => return Ok(Change::Clear),
            Some(value) => value.as_f64(),
        };
        match value.filter(|value| range.contains(value)) {
            Some(value) => Ok(Change::Set(value)),
            None => {
                let (min, max) = (range.start(), range.end());
                Err(self.invalid(name, &format!("a number from {min} to {max}")))
            }
        }
    }

    /// A whole number.
    pub fn integer(
        &self,
        name: &str,
        range: RangeInclusive<u64>,
    ) -> Result<Change<u64>, InvalidField> {
        let value = match self.object.get(name) {
            None => return Ok(Change::Keep),
            Some(Value::Null) => return Ok(Change::Clear),
            Some(value) => value.as_u64(),
        };
        match value.filter(|value| range.contains(value)) {
            Some(value) => Ok(Change::Set(value)),
            None => {
                let (min, max) = (range.start(), range.end());
                Err(self.invalid(name, &format!("a whole number from {min} to {max}")))
            }
        }
    }

    /// The error of a field.
    pub fn invalid(&self, name: &str, expected: &str) -> InvalidField {
        let path = match self.path {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        };
        let value = self.object.get(name);
        InvalidField {
            path,
            value: value.map_or_else(String::new, Value::to_string),
            expected: expected.to_owned(),
        }
    }
}

impl<T> Change<T> {
    /// Applies it to a field that may be absent.
    pub fn apply_to(self, field: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *field = None,
            Self::Set(value) => *field = Some(value),
        }
    }

    /// Applies it to a field that has a default.
    pub fn apply_or(self, field: &mut T, default: T) {
        match self {
            Self::Keep => {}
            Self::Clear => *field = default,
            Self::Set(value) => *field = value,
        }
    }
}
