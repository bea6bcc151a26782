//! What a row of the table of fields says: a field's name, what it may hold, where that goes.

use super::Parameters;
use super::value::Expected;

/// A field by one of its names.
#[derive(Clone, Copy)]
pub struct Field {
    /// As it is sent; a list also with `[]` behind it.
    pub name: &'static str,
    /// How it may be sent.
    pub shape: Shape,
    /// What it may hold, or each of its items; `read` refuses everything else.
    pub takes: Takes,
    /// Puts what it holds, which is not blank, where it belongs.
    pub read: Read,
    /// What holds where it is not sent.
    pub unsent: Unsent,
    /// What it does; of another name for a field, that field.
    pub does: Does,
}

/// How a field may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Once.
    One,
    /// More than once, under its name with or without `[]`.
    Many,
    /// As a JSON object, which stands for a field `name[key]` for each of its members.
    Object,
}

/// What a field, or an item of a list, may hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Takes {
    /// Any text, or any of those that the field's effect tells of.
    Text,
    /// `true` or `false`.
    Switch,
    /// A number from the first to the second.
    Real(f64, f64),
    /// The same, or `none`.
    Bound(f64, f64),
    /// A whole number from the first to the second.
    Whole(i64, i64),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Nothing: the field is refused.
    Nothing,
}

/// What holds where a field is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsent {
    /// The same as if this had been sent.
    Same(&'static str),
    /// Something that depends on others, in words.
    Words(&'static str),
}

/// What a field does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// This.
    This(&'static str),
    /// The same as the field of this name.
    SameAs(&'static str),
}

/// Puts what a field holds where it belongs.
pub type Read = fn(&mut Parameters, &str) -> Result<(), Expected>;

impl Field {
    /// A field that is sent once.
    pub const fn one(name: &'static str, takes: Takes, read: Read) -> Self {
        Self {
            name,
            shape: Shape::One,
            takes,
            read,
            unsent: Unsent::Words("none"),
            does: Does::This(""),
        }
    }

    /// A list of such items.
    pub const fn many(name: &'static str, takes: Takes, read: Read) -> Self {
        Self {
            shape: Shape::Many,
            ..Self::one(name, takes, read)
        }
    }

    /// An object, whose members have rows of their own; it may hold one of these words instead.
    pub const fn object(name: &'static str, words: &'static [&'static str], read: Read) -> Self {
        Self {
            shape: Shape::Object,
            ..Self::one(name, Takes::OneOf(words), read)
        }
    }

    /// The value that has the same effect as none.
    pub const fn default(mut self, value: &'static str) -> Self {
        self.unsent = Unsent::Same(value);
        self
    }

    /// What holds without it, in words.
    pub const fn without(mut self, words: &'static str) -> Self {
        self.unsent = Unsent::Words(words);
        self
    }

    /// Its effect, as the documentation has it.
    pub const fn does(mut self, effect: &'static str) -> Self {
        self.does = Does::This(effect);
        self
    }

    /// Another name for the field of this name.
    pub const fn same_as(mut self, name: &'static str) -> Self {
        self.does = Does::SameAs(name);
        self
    }

    /// The name as it is best sent: that of a list ends with `[]`.
    pub fn sent_name(&self) -> String {
        match self.shape {
            Shape::Many => format!("{}[]", self.name),
            Shape::One | Shape::Object => self.name.to_owned(),
        }
    }

    /// The object it is a member of, and its key there.
    pub fn member(&self) -> Option<(&'static str, &'static str)> {
        let (object, key) = self.name.strip_suffix(']')?.split_once('[')?;
        (!key.is_empty()).then_some((object, key))
    }
}
