//! The URL of the server under test.

use std::net::IpAddr;

use reqwest::Url;

/// The URL of a server's transcriptions endpoint; a URL with that path is returned unchanged.
pub fn endpoint(server: &Url) -> Url {
    let path = server.path().trim_end_matches('/');
    let path = if path.ends_with("/transcriptions") || path.ends_with("/translations") {
        path.to_owned()
    } else if path.ends_with("/v1") {
        format!("{path}/audio/transcriptions")
    } else {
        format!("{path}/v1/audio/transcriptions")
    };
    let mut endpoint = server.clone();
    endpoint.set_path(&path);
    endpoint
}

/// Whether the host is a loopback address or `localhost`.
pub fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    match address.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host == "localhost",
    }
}

/// Parses an http or https URL with a host, for clap.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        _ => Err("write http:// or https:// in front of the host".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_a_server_its_v1_path_or_the_full_endpoint() {
        for (server, expected) in [
            ("http://box:8000", "http://box:8000/v1/audio/transcriptions"),
            ("http://box/", "http://box/v1/audio/transcriptions"),
            ("http://box/v1/", "http://box/v1/audio/transcriptions"),
            ("http://box/asr", "http://box/asr/v1/audio/transcriptions"),
            (
                "http://box/asr/v1?a=b",
                "http://box/asr/v1/audio/transcriptions?a=b",
            ),
            (
                "http://box/v1/audio/translations",
                "http://box/v1/audio/translations",
            ),
        ] {
            assert_eq!(endpoint(&parse(server).unwrap()).as_str(), expected);
        }
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for (url, expected) in [
            ("http://127.0.0.1:8000", true),
            ("http://127.1.2.3", true),
            ("http://[::1]:8000", true),
            ("http://[::ffff:127.0.0.1]", true),
            ("http://LOCALHOST", true),
            ("http://0x7f000001", true),
            ("http://0.0.0.0", false),
            ("http://10.0.0.1", false),
            ("https://api.openai.com/v1", false),
            ("http://localhost.example.com", false),
            ("http://127.0.0.1.example.com", false),
            ("http://localhost@example.com", false),
        ] {
            assert_eq!(is_loopback(&parse(url).unwrap()), expected, "{url}");
        }
    }

    #[test]
    fn refuses_invalid_urls() {
        for text in ["localhost:8000", "box", "ftp://box", "http://"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
