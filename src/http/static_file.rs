//! Serves files that are part of the program, compressed and validated by `ETag`.

use std::io::Write;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

/// Bytes of the hash that are in an `ETag`.
const TAG_BYTES: usize = 16;

/// A file in memory, in both encodings. A clone shares the bytes.
#[derive(Clone, Debug)]
pub struct StaticFile {
    content_type: HeaderValue,
    identity: Encoded,
    gzip: Encoded,
}

/// The bytes of one encoding, with their validator, which HTTP requires to differ between encodings.
#[derive(Clone, Debug)]
struct Encoded {
    bytes: Bytes,
    tag: HeaderValue,
}

impl StaticFile {
    /// Compresses the file once.
    pub fn new(content_type: &'static str, bytes: Bytes) -> Self {
        let hash = Sha256::digest(&bytes);
        let hash: String = hash[..TAG_BYTES]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let encoded = |bytes, suffix: &str| Encoded {
            bytes,
            tag: HeaderValue::try_from(format!("\"{hash}{suffix}\""))
                .expect("hexadecimal digits are a valid header"),
        };
        Self {
            content_type: HeaderValue::from_static(content_type),
            gzip: encoded(gzip(&bytes), "-gzip"),
            identity: encoded(bytes, ""),
        }
    }

    /// The response to a request with these headers: the file, or 304 if the client has it.
    ///
    /// Browsers may store the file but validate it each time, so that an upgraded server is never shown
    /// with old files.
    pub fn respond(&self, request: &HeaderMap) -> Response {
        let is_gzip = accepts_gzip(request);
        let encoded = if is_gzip { &self.gzip } else { &self.identity };
        let headers = [
            (header::ETAG, encoded.tag.clone()),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (header::VARY, HeaderValue::from_static("accept-encoding")),
        ];
        if is_known(request, &encoded.tag) {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        let mut response = (headers, encoded.bytes.clone()).into_response();
        let of_response = response.headers_mut();
        of_response.insert(header::CONTENT_TYPE, self.content_type.clone());
        if is_gzip {
            let gzip = HeaderValue::from_static("gzip");
            of_response.insert(header::CONTENT_ENCODING, gzip);
        }
        response
    }

    #[cfg(test)]
    pub fn gzip_len(&self) -> usize {
        self.gzip.bytes.len()
    }
}

fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.expect("writing to memory does not fail").into()
}

/// Whether `Accept-Encoding` lists gzip, or all, with a weight above 0.
fn accepts_gzip(request: &HeaderMap) -> bool {
    let values = request.get_all(header::ACCEPT_ENCODING).iter();
    let mut codings = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    codings.any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let is_named = name.eq_ignore_ascii_case("gzip") || name == "*";
        let is_refused = parts.any(|parameter| {
            let weight = parameter.strip_prefix("q=");
            weight.and_then(|weight| weight.parse::<f32>().ok()) == Some(0.0)
        });
        is_named && !is_refused
    })
}

/// Whether `If-None-Match` contains the validator. A proxy that compresses marks it as weak.
fn is_known(request: &HeaderMap, tag: &HeaderValue) -> bool {
    let values = request.get_all(header::IF_NONE_MATCH).iter();
    let mut known = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|value| value.trim().trim_start_matches("W/"));
    known.any(|known| known == "*" || known.as_bytes() == tag.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn headers(pairs: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().cloned();
        pairs
            .map(|(name, value)| (name, HeaderValue::from_static(value)))
            .collect()
    }

    fn file() -> StaticFile {
        StaticFile::new("text/plain", Bytes::from_static(b"text text text"))
    }

    #[track_caller]
    fn check_encoding(accepted: &'static str, expected: bool) {
        let request = headers(&[(header::ACCEPT_ENCODING, accepted)]);
        let response = file().respond(&request);
        let is_gzip = response.headers().contains_key(header::CONTENT_ENCODING);
        assert_eq!(is_gzip, expected, "{accepted}");
    }

    #[test]
    fn a_client_chooses_the_encoding() {
        for accepted in ["gzip, deflate, br", "br;q=1, GZIP;q=0.5", "*"] {
            check_encoding(accepted, true);
        }
        for accepted in ["", "br", "gzip;q=0", "gzip; q=0.0", "gzipped"] {
            check_encoding(accepted, false);
        }
        assert_eq!(file().respond(&HeaderMap::new()).status(), StatusCode::OK);
    }

    #[test]
    fn the_compressed_file_is_the_file() {
        let mut text = String::new();
        let file = file();
        let mut decoder = flate2::read::GzDecoder::new(file.gzip.bytes.as_ref());
        decoder.read_to_string(&mut text).unwrap();
        assert_eq!(text, "text text text");
    }

    #[test]
    fn a_known_file_is_not_sent_again() {
        let tag = file().identity.tag.to_str().unwrap().to_owned();
        let status = |known: String| {
            let mut request = HeaderMap::new();
            request.insert(header::IF_NONE_MATCH, known.parse().unwrap());
            file().respond(&request).status()
        };
        assert_eq!(status(tag.clone()), StatusCode::NOT_MODIFIED);
        assert_eq!(status(format!("\"x\", W/{tag}")), StatusCode::NOT_MODIFIED);
        assert_eq!(status("\"x\"".to_owned()), StatusCode::OK);
        // The validator of the other encoding.
        let gzip = file().gzip.tag.to_str().unwrap().to_owned();
        assert_eq!(status(gzip), StatusCode::OK);
    }
}
