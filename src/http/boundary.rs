//! Quotes the boundaries of multipart forms that clients leave unquoted.
//!
//! RFC 2046, 5.1.1 allows `'()+_,-./:=?` and spaces in a boundary, and RFC 2045, 5.1 requires quotes around
//! a value with some of these. Several clients send it without quotes, and other servers accept it.

use axum::http::{HeaderMap, HeaderValue, header};

/// Longest boundary (RFC 2046, 5.1.1).
const MAX_BOUNDARY_BYTES: usize = 70;

/// Quotes the boundary in the `Content-Type` if it is unquoted.
pub fn quote(headers: &mut HeaderMap) {
    let content_type = headers.get(header::CONTENT_TYPE);
    let quoted = content_type
        .and_then(|value| quoted(value.to_str().ok()?))
        .and_then(|value| HeaderValue::try_from(value).ok());
    if let Some(quoted) = quoted {
        headers.insert(header::CONTENT_TYPE, quoted);
    }
}

fn quoted(content_type: &str) -> Option<String> {
    const NAME: &str = "boundary=";
    let start = content_type.to_ascii_lowercase().find(NAME)? + NAME.len();
    let (before, rest) = content_type.split_at(start);
    let (boundary, after) = rest.split_at(rest.find(';').unwrap_or(rest.len()));
    let boundary = boundary.trim_end();
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    let is_boundary = (1..=MAX_BOUNDARY_BYTES).contains(&boundary.len());
    (is_boundary && boundary.bytes().all(is_allowed))
        .then(|| format!("{before}\"{boundary}\"{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_only_an_unquoted_boundary() {
        for (content_type, expected) in [
            (
                "multipart/form-data; boundary=a/b=c:d(e)",
                Some("\"a/b=c:d(e)\""),
            ),
            ("multipart/form-data; Boundary=abc", Some("\"abc\"")),
            (
                "multipart/form-data; boundary=a/b ; charset=utf-8",
                Some("\"a/b\"; charset=utf-8"),
            ),
            ("multipart/form-data; boundary=\"a/b\"", None),
            ("multipart/form-data; boundary=", None),
            ("multipart/form-data; boundary=a\\b", None),
            ("multipart/form-data", None),
        ] {
            let end = quoted(content_type).map(|value| value.split_once('=').unwrap().1.to_owned());
            assert_eq!(end.as_deref(), expected, "{content_type}");
        }
    }
}
