//! URLs that contain the data itself, in base64: `data:audio/wav;base64,UklGRg==`.

use axum::body::Bytes;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::value::Expected;

/// Most bytes in a URL.
const MAX_BYTES: usize = 1 << 20;

/// Longest part of a URL before the data that an error shows, in bytes.
const MAX_HEAD_BYTES: usize = 100;

/// Longest text of a URL, in bytes.
pub const MAX_TEXT_BYTES: usize = MAX_BYTES.div_ceil(3) * 4 + 1024;

/// The bytes in a URL.
pub fn parse(text: &str) -> Result<Bytes, Expected> {
    let expected = || Expected::new("a data URL in base64, such as data:audio/wav;base64,UklGR…");
    let (head, data) = text.trim().split_once(',').ok_or_else(expected)?;
    let is_head = |head: &str| {
        let head = head.to_ascii_lowercase();
        head.starts_with("data:") && head.ends_with(";base64")
    };
    if !is_head(head) {
        return Err(expected());
    }
    let bytes = STANDARD.decode(data).map_err(|_| expected())?;
    if bytes.len() > MAX_BYTES {
        return Err(Expected::new("a data URL of at most 1 MiB"));
    }
    Ok(bytes.into())
}

/// The part before the comma, for error messages; empty if it is longer than 100 bytes, because it may then be data.
pub fn head(text: &str) -> &str {
    let head = text.split(',').next().unwrap_or_default();
    if head.len() <= MAX_HEAD_BYTES {
        head
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_base64_of_any_type() {
        for text in [
            "data:audio/wav;base64,UklGRg==",
            " data:;base64,UklGRg== ",
            "DATA:audio/ogg;codecs=opus;BASE64,UklGRg==",
        ] {
            assert_eq!(parse(text).unwrap(), "RIFF", "{text}");
        }
        assert_eq!(parse("data:;base64,").unwrap(), "");
    }

    #[test]
    fn refuses_other_texts() {
        for text in [
            "",
            "UklGRg==",
            "data:audio/wav,RIFF",
            "data:audio/wav;base64;UklGRg==",
            "https://example.org/a;base64,UklGRg==",
            "data:audio/wav;base64,UklGRg",
            "data:audio/wav;base64,Ukl GRg==",
        ] {
            let Err(Expected(words)) = parse(text) else {
                panic!("{text} is accepted");
            };
            assert!(words.starts_with("a data URL in base64"), "{words}");
        }
    }

    #[test]
    fn bounds_the_data() {
        let url = |bytes: usize| format!("data:;base64,{}", STANDARD.encode(vec![0; bytes]));
        assert_eq!(parse(&url(MAX_BYTES)).unwrap().len(), MAX_BYTES);
        assert!(parse(&url(MAX_BYTES + 1)).is_err());
        assert!(url(MAX_BYTES).len() <= MAX_TEXT_BYTES);
    }

    #[test]
    fn a_long_head_is_not_shown() {
        let data = "A".repeat(4096);
        for (text, expected) in [
            ("data:;base64,AAAA".to_owned(), "data:;base64"),
            ("DATA:audio/wav,AAAA".to_owned(), "DATA:audio/wav"),
            ("AAAA".to_owned(), "AAAA"),
            (data.clone(), ""),
            (format!("{data},"), ""),
            (format!("data:{data}"), ""),
            (format!("data:audio/wav;base64{data},"), ""),
            (format!(r#"["{data}","{data}"]"#), ""),
            (
                "https://example.org/a.wav".to_owned(),
                "https://example.org/a.wav",
            ),
            (String::new(), ""),
        ] {
            assert_eq!(head(&text), expected, "{text}");
        }
    }
}
