//! The kinds of values that settings accept, and their conversion.

use figment::value::{Dict, Value};

/// The kind of a setting's value. A value from the environment or a flag is
/// text, a value from a file has a TOML type; both are checked here and
/// converted to the type in [`Settings`](super::Settings).
#[derive(Clone, Copy, Debug)]
pub(super) enum ValueKind {
    /// Non-empty text.
    Text,
    /// Non-empty text without white space.
    TextWithoutSpaces,
    /// Text that is never displayed; empty means none.
    SecretText,
    /// The path of a folder.
    Folder,
    /// The path of a file; empty means none.
    File,
    /// `http://…` or `https://…`; a trailing slash is removed.
    Url,
    /// True or false.
    Boolean,
    /// An integer from the first to the second number.
    Integer(i64, i64),
    /// One of these words, case-insensitive.
    Choice(&'static [&'static str]),
    /// One or more device numbers.
    DeviceNumbers {
        /// The highest number.
        max: i64,
    },
    /// A list of texts.
    TextList,
    /// `Origin` headers that a browser sends, or `*`.
    WebOrigins,
    /// Host names without a port, as in `Host` headers, or `*`.
    HostNames,
    /// Text → text: a table, or a text with a JSON object.
    TextMap,
}

impl ValueKind {
    /// The value converted for [`Settings`](super::Settings); `None` if it is not allowed.
    pub fn check(self, value: &Value) -> Option<Value> {
        match self {
            Self::Text | Self::Folder => non_empty(value.as_str()?).map(Value::from),
            Self::TextWithoutSpaces => non_empty(value.as_str()?)
                .filter(|text| !text.contains(char::is_whitespace))
                .map(Value::from),
            Self::SecretText | Self::File => match value {
                Value::Empty(..) => Some(value.clone()),
                _ => Some(non_empty(value.as_str()?).map_or(none(), Value::from)),
            },
            Self::Url => {
                let url = non_empty(value.as_str()?)?.trim_end_matches('/');
                let (scheme, address) = url.split_once("://")?;
                let is_allowed = matches!(scheme, "http" | "https")
                    && !address.is_empty()
                    && !address.contains(char::is_whitespace);
                is_allowed.then(|| Value::from(url))
            }
            Self::Boolean => boolean(value).map(Value::from),
            Self::Integer(min, max) => integer(value)
                .filter(|number| (min..=max).contains(number))
                .map(Value::from),
            Self::Choice(words) => {
                let text = value.as_str()?.trim().to_ascii_lowercase();
                words.contains(&text.as_str()).then(|| Value::from(text))
            }
            Self::DeviceNumbers { max } => {
                let numbers = items(value)?
                    .iter()
                    .map(|item| integer(item).filter(|number| (0..=max).contains(number)))
                    .collect::<Option<Vec<_>>>()?;
                (!numbers.is_empty()).then(|| Value::from(numbers))
            }
            Self::TextList => checked_texts(value, |_| true),
            Self::WebOrigins => checked_texts(value, is_web_origin),
            Self::HostNames => checked_texts(value, is_host_name),
            Self::TextMap => {
                let parsed = value.as_str().map(serde_json::from_str::<Dict>);
                let parsed = parsed.transpose().ok()?;
                let texts = parsed
                    .as_ref()
                    .or(value.as_dict())?
                    .iter()
                    .map(|(name, text)| {
                        let text = non_empty(text.as_str()?)?;
                        Some((non_empty(name)?.to_owned(), Value::from(text)))
                    });
                texts.collect::<Option<Dict>>().map(Value::from)
            }
        }
    }

    /// The allowed values, as the object of "expected …" in an error.
    pub fn expected(self) -> String {
        match self {
            Self::Text => "a text that is not empty".to_owned(),
            Self::TextWithoutSpaces => "a text without spaces".to_owned(),
            Self::SecretText => "a text".to_owned(),
            Self::Folder => "the path of a folder".to_owned(),
            Self::File => "the path of a file".to_owned(),
            Self::Url => "an address that starts with http:// or https://".to_owned(),
            Self::Boolean => "true, false, 1, 0, yes, no, on or off".to_owned(),
            Self::Integer(min, max) => format!("a whole number from {min} to {max}"),
            Self::Choice(words) => match words {
                [first @ .., last] => format!("{} or {last}", first.join(", ")),
                [] => "nothing".to_owned(),
            },
            Self::DeviceNumbers { max } => {
                format!("a number from 0 to {max}, or a list of them such as [0, 1]")
            }
            Self::TextList => r#"a list of texts such as ["one", "two"]"#.to_owned(),
            Self::WebOrigins => {
                r#"a list of web origins such as ["https://app.example:8443"], without a path, or ["*"]"#
                    .to_owned()
            }
            Self::HostNames => {
                r#"a list of host names such as ["stt.example"], without a port, or ["*"]"#.to_owned()
            }
            Self::TextMap => {
                r#"a table of texts, or a JSON object such as {"name": "model"}"#.to_owned()
            }
        }
    }
}

fn none() -> Value {
    Value::from(figment::value::Empty::None)
}

fn non_empty(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}

fn boolean(value: &Value) -> Option<bool> {
    let text = match value {
        Value::Bool(_, on) => return Some(*on),
        Value::Num(..) => integer(value)?.to_string(),
        _ => value.as_str()?.trim().to_ascii_lowercase(),
    };
    match text.as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Num(_, number) => match number.to_u128() {
            Some(number) => i64::try_from(number).ok(),
            None => i64::try_from(number.to_i128()?).ok(),
        },
        _ => value.as_str()?.trim().parse().ok(),
    }
}

/// The items of a TOML list, a text with a JSON list, or a comma-separated
/// text; a single value is a list of one.
fn items(value: &Value) -> Option<Vec<Value>> {
    if let Some(items) = value.as_array() {
        return Some(items.to_vec());
    }
    let Some(text) = value.as_str().map(str::trim) else {
        return Some(vec![value.clone()]);
    };
    if text.starts_with(['[', '{', '"']) {
        serde_json::from_str(text).ok()
    } else {
        Some(text.split(',').map(Value::from).collect())
    }
}

fn checked_texts(value: &Value, is_allowed: impl Fn(&str) -> bool) -> Option<Value> {
    // A single TOML text is a list of one, an empty one an empty list.
    let items = match value.as_str() {
        Some(text) if text.trim().is_empty() => Vec::new(),
        _ => items(value)?,
    };
    let texts = items.iter().map(|item| {
        non_empty(item.as_str()?)
            .filter(|text| is_allowed(text))
            .map(Value::from)
    });
    texts.collect::<Option<Vec<_>>>().map(Value::from)
}

/// Whether a browser could send this as `Origin`: with a trailing slash or a
/// path it would never match.
fn is_web_origin(text: &str) -> bool {
    let is_plain = |host: &str| {
        !host.is_empty()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'/')
    };
    matches!(text, "*" | "null")
        || text
            .split_once("://")
            .is_some_and(|(scheme, host)| is_plain(scheme) && is_plain(host))
}

/// Whether this could be the name in `Host`: with a port or a scheme it would never match.
fn is_host_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text == "*" || text.bytes().all(is_plain)
}
