//! Hosts, origins and sites that are allowed and refused.

use super::*;
use crate::config::Secret;
use crate::http::test_settings;

fn settings(origins: &[&str], hosts: &[&str]) -> HttpSettings {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    HttpSettings {
        allow_origins: owned(origins),
        allowed_hosts: owned(hosts),
        ..test_settings::settings()
    }
}

fn check_head(
    settings: &HttpSettings,
    target: &str,
    headers: &[(&str, &str)],
) -> Result<(), CrossSite> {
    let (method, path) = target.split_once(' ').unwrap();
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
        .collect();
    let uri: Uri = path.parse().unwrap();
    check(
        RequestSource::of(&method.parse().unwrap(), &uri, &headers),
        settings,
    )
}

#[track_caller]
fn check_host(settings: &HttpSettings, host: &str, allowed: bool) {
    let result = check_head(settings, "GET /v1/models", &[("host", host)]);
    let refusal = CrossSite::Host(host.to_owned());
    assert_eq!(
        result,
        if allowed { Ok(()) } else { Err(refusal) },
        "{host}"
    );
}

#[track_caller]
fn check_origin(settings: &HttpSettings, host: &str, origin: &str, allowed: bool) {
    let headers = [("host", host), ("origin", origin)];
    let result = check_head(settings, "POST /v1/models/x", &headers);
    let refusal = CrossSite::Origin(origin.to_owned());
    let expected = if allowed { Ok(()) } else { Err(refusal) };
    assert_eq!(result, expected, "{origin} to {host}");
}

#[test]
fn allows_hosts_that_no_web_page_can_have() {
    let settings = settings(&[], &[]);
    for host in [
        "127.0.0.1",
        "192.0.2.7:8000",
        "[::1]:8000",
        "[2001:db8::1]",
        "localhost",
        "LOCALHOST:8000",
        "halkspeech:8000",
        "gpu_box",
        "stt.localhost:8000",
        "gpu.local",
        "gpu.local.:8000",
        "host.docker.internal:8000",
        "halkspeech.svc",
        "halkspeech.speech.svc:80",
        "halkspeech.speech.svc.cluster.local:8000",
    ] {
        check_host(&settings, host, true);
    }
}

#[test]
fn refuses_hosts_that_a_web_page_can_have() {
    let settings = settings(&[], &[]);
    for host in [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "x.svc.evil.example",
        "1.2.3",
        "256.0.0.1",
        "evil.example@localhost",
        "localhost/evil.example",
        "[::1].evil.example",
        "[evil.example]",
        "localhost:8000:8000",
        "local host",
    ] {
        check_host(&settings, host, false);
    }
}

#[test]
fn allows_configured_hosts_on_every_port() {
    let named = settings(&[], &["stt.example"]);
    for (host, allowed) in [
        ("stt.example", true),
        ("STT.example:8443", true),
        ("stt.example.:8443", true),
        ("a.stt.example", false),
        ("stt.example.evil.example", false),
    ] {
        check_host(&named, host, allowed);
    }
    let any = settings(&[], &["*"]);
    check_host(&any, "evil.example", true);
    check_host(&any, "no name", true);
}

#[test]
fn the_request_target_takes_precedence_over_the_host_header() {
    let settings = settings(&[], &[]);
    let of_page = [("host", "localhost")];
    assert_eq!(
        check_head(&settings, "GET http://evil.example/v1/models", &of_page),
        Err(CrossSite::Host("evil.example".to_owned()))
    );
    assert_eq!(
        check_head(&settings, "GET http://localhost/v1/models", &of_page),
        Ok(())
    );
}

#[test]
fn refuses_duplicate_headers() {
    let settings = settings(&[], &[]);
    for one in [
        ("host", "localhost"),
        ("origin", "http://localhost"),
        ("sec-fetch-site", "none"),
    ] {
        assert_eq!(
            check_head(&settings, "POST /v1/models/x", &[one]),
            Ok(()),
            "{one:?}"
        );
        let twice = check_head(&settings, "POST /v1/models/x", &[one, one]);
        assert!(twice.is_err(), "{one:?}");
    }
}

#[test]
fn allows_pages_of_the_same_origin() {
    let settings = settings(&[], &["stt.example"]);
    for (host, origin, allowed) in [
        ("gpu:8000", "http://gpu:8000", true),
        ("gpu:8000", "http://gpu:9000", false),
        ("gpu:8000", "http://gpu", false),
        ("gpu:8000", "http://other:8000", false),
        ("gpu:8000", "ftp://gpu:8000", false),
        ("192.0.2.7:8000", "http://192.0.2.7:8000", true),
        ("[2001:db8::1]:8000", "http://[2001:db8::1]:8000", true),
        ("gpu:80", "http://gpu", true),
        ("gpu", "http://gpu", true),
        // TLS ends in a proxy.
        ("stt.example", "https://stt.example", true),
        ("stt.example:443", "https://stt.example", true),
        ("Stt.Example", "https://stt.example", true),
        ("stt.example", "https://evil.example", false),
    ] {
        check_origin(&settings, host, origin, allowed);
    }
}

#[test]
fn allows_pages_of_loopback_and_of_desktop_programs() {
    let settings = settings(&[], &[]);
    for (origin, allowed) in [
        ("http://localhost:3000", true),
        ("https://localhost", true),
        ("http://tauri.localhost", true),
        ("http://127.0.0.1:5173", true),
        ("http://[::1]:5173", true),
        ("app://obsidian.md", true),
        ("tauri://localhost", true),
        ("null", false),
        ("http://192.0.2.7", false),
        ("http://localhost.evil.example", false),
        ("http://127.0.0.1.evil.example", false),
        ("http://evil.example", false),
        ("chrome-extension://abc", false),
        ("", false),
    ] {
        check_origin(&settings, "127.0.0.1:8000", origin, allowed);
    }
}

#[test]
fn allows_configured_origins() {
    let named = settings(&["https://app.example:8443", "null"], &[]);
    for (origin, allowed) in [
        ("https://app.example:8443", true),
        ("null", true),
        ("https://app.example", false),
        ("http://app.example:8443", false),
    ] {
        check_origin(&named, "127.0.0.1:8000", origin, allowed);
    }
    check_origin(
        &settings(&["*"], &[]),
        "127.0.0.1:8000",
        "https://evil.example",
        true,
    );
}

#[test]
fn refuses_pages_of_another_site_without_an_allowed_origin() {
    let none = settings(&[], &[]);
    let from = |site| [("host", "localhost:8000"), ("sec-fetch-site", site)];
    for (target, allowed) in [
        ("GET /v1/models", false),
        ("GET /metrics", false),
        ("POST /v1/models/x", false),
        ("POST /", false),
        ("GET /docsy", false),
        ("GET /", true),
        ("GET /docs", true),
        ("GET /docs/swagger-ui.css", true),
        ("GET /page/app.js", true),
        ("GET /pages", false),
        ("HEAD /health", true),
        ("GET /ready", true),
    ] {
        let expected = if allowed {
            Ok(())
        } else {
            Err(CrossSite::Site)
        };
        assert_eq!(
            check_head(&none, target, &from("cross-site")),
            expected,
            "{target}"
        );
        for site in ["same-origin", "same-site", "none"] {
            assert_eq!(
                check_head(&none, target, &from(site)),
                Ok(()),
                "{target}, {site}"
            );
        }
    }
    let with_origin = |origin| {
        let [host, site] = from("cross-site");
        check_head(
            &none,
            "POST /v1/models/x",
            &[host, site, ("origin", origin)],
        )
    };
    assert_eq!(with_origin("tauri://localhost"), Ok(()));
    assert_eq!(
        with_origin("https://evil.example"),
        Err(CrossSite::Origin("https://evil.example".to_owned()))
    );
    let any = settings(&["*"], &[]);
    assert_eq!(
        check_head(&any, "GET /v1/models", &from("cross-site")),
        Ok(())
    );
}

#[test]
fn allows_programs_that_send_no_browser_headers() {
    let settings = settings(&[], &[]);
    assert_eq!(
        check_head(
            &settings,
            "POST /v1/models/x",
            &[("host", "localhost:8000")]
        ),
        Ok(())
    );
    assert_eq!(check_head(&settings, "POST /v1/models/x", &[]), Ok(()));
}

#[test]
fn ignores_host_and_origin_if_keys_are_set() {
    let mut settings = settings(&[], &[]);
    settings.api_keys = vec![Secret::new("open sesame")];
    let headers = [
        ("host", "evil.example"),
        ("origin", "http://evil.example"),
        ("sec-fetch-site", "cross-site"),
    ];
    assert_eq!(
        check_head(&settings, "DELETE /v1/models/x", &headers),
        Ok(())
    );
}
