//! `halkspeech health`: a readiness check for containers.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, bail};

use super::HealthFlags;
use crate::config::{Flags, Server, Settings};

/// Timeout for each step of the check: connect, write, read.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Longest response that is read.
const MAX_RESPONSE_BYTES: u64 = 64 * 1024;

/// Checks whether a server is ready.
///
/// # Errors
///
/// The server cannot be reached, or responds with a status other than 200.
pub fn check(flags: HealthFlags) -> anyhow::Result<()> {
    let url = if let Some(url) = flags.url {
        url
    } else {
        let loaded = Settings::from_process(flags.config, Flags::default())?;
        ready_url(&loaded.settings.server)
    };
    send_get(&url).with_context(|| format!("not ready: {url}"))
}

/// The readiness URL of a server with these settings on this machine.
fn ready_url(server: &Server) -> String {
    let host = match server.host.as_str() {
        "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        host => host,
    };
    let port = server.port;
    if host.contains(':') {
        format!("http://[{host}]:{port}/ready")
    } else {
        format!("http://{host}:{port}/ready")
    }
}

/// Sends a GET request without an HTTP client and fails unless the status is 200.
fn send_get(url: &str) -> anyhow::Result<()> {
    let (authority, path) = split_url(url)?;
    let mut stream = connect(&authority)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;

    let mut response = Vec::new();
    stream.take(MAX_RESPONSE_BYTES).read_to_end(&mut response)?;
    let response = String::from_utf8_lossy(&response);
    let status_line = response.lines().next().unwrap_or_default();
    let (version, status) = status_line.split_once(' ').unwrap_or_default();
    if !version.starts_with("HTTP/") {
        bail!("the response is not HTTP");
    }
    if status.split(' ').next() != Some("200") {
        let body = response.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        bail!("{status} {}", body.trim());
    }
    Ok(())
}

/// The host with port, and the path, of an `http://` URL.
fn split_url(url: &str) -> anyhow::Result<(String, &str)> {
    let address = url
        .strip_prefix("http://")
        .context("the address does not start with http://")?;
    let (authority, path) = match address.find('/') {
        Some(slash) => address.split_at(slash),
        None => (address, "/ready"),
    };
    // The colons inside an IPv6 address do not separate a port.
    let host_end = authority.rfind(']').unwrap_or(0);
    let authority = if authority[host_end..].contains(':') {
        authority.to_owned()
    } else {
        format!("{authority}:80")
    };
    Ok((authority, path))
}

fn connect(authority: &str) -> anyhow::Result<TcpStream> {
    let addresses = authority
        .to_socket_addrs()
        .with_context(|| format!("{authority} has no address"))?;
    let mut last_error = None;
    for address in addresses {
        match TcpStream::connect_timeout(&address, TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last_error = Some(error),
        }
    }
    match last_error {
        Some(error) => Err(error).with_context(|| format!("cannot connect to {authority}")),
        None => bail!("{authority} has no address"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn the_default_url_is_the_listening_address() {
        for (host, expected) in [
            ("0.0.0.0", "http://127.0.0.1:8000/ready"),
            ("::", "http://[::1]:8000/ready"),
            ("fe80::1", "http://[fe80::1]:8000/ready"),
            ("box", "http://box:8000/ready"),
        ] {
            let server = Server {
                host: host.to_owned(),
                ..Server::default()
            };
            assert_eq!(ready_url(&server), expected);
        }
    }

    #[test]
    fn splits_urls() {
        for (url, expected) in [
            ("http://box:1", Some(("box:1", "/ready"))),
            ("http://box/", Some(("box:80", "/"))),
            ("http://[::1]", Some(("[::1]:80", "/ready"))),
            ("http://[::1]:9/a/b", Some(("[::1]:9", "/a/b"))),
            ("https://box", None),
            ("box:1", None),
        ] {
            let split = split_url(url).ok();
            let split = split.as_ref().map(|(host, path)| (host.as_str(), *path));
            assert_eq!(split, expected, "{url}");
        }
    }

    /// Serves `response` once and returns the result of the check.
    fn health_of(response: &'static str) -> Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serve_once = move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.extend(byte);
            }
            stream.write_all(response.as_bytes()).unwrap();
            String::from_utf8(request).unwrap()
        };
        let server = thread::Builder::new().name("health-server".to_owned());
        let server = server.spawn(serve_once).unwrap();
        let outcome = check(HealthFlags {
            url: Some(url),
            config: None,
        });
        assert!(
            server
                .join()
                .unwrap()
                .starts_with("GET /ready HTTP/1.1\r\n")
        );
        outcome.map_err(|error| error.root_cause().to_string())
    }

    #[test]
    fn only_status_200_means_ready() {
        assert_eq!(health_of("HTTP/1.1 200 OK\r\n\r\nok"), Ok(()));
        assert_eq!(
            health_of("HTTP/1.1 503 Service Unavailable\r\n\r\nloading\n"),
            Err("503 Service Unavailable loading".to_owned())
        );
        assert_eq!(
            health_of("SSH-2.0-x\r\n"),
            Err("the response is not HTTP".to_owned())
        );
    }

    #[test]
    fn fails_if_no_server_listens() {
        let port = {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        let flags = HealthFlags {
            url: Some(format!("http://127.0.0.1:{port}")),
            config: None,
        };
        assert!(check(flags).is_err());
    }
}
