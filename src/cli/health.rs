//! A health check for containers: is the server ready?

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, bail};

use super::HealthFlags;
use crate::config::{Flags, Server, Settings};

/// The longest wait for one step of the check: connect, write, read.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The longest answer that is read.
const ANSWER_LIMIT_BYTES: u64 = 64 * 1024;

/// Asks a server whether it is ready, and waits for its answer.
///
/// # Errors
///
/// The server cannot be reached, or answers anything but 200.
pub fn check(flags: HealthFlags) -> anyhow::Result<()> {
    let url = if let Some(url) = flags.url {
        url
    } else {
        let loaded = Settings::from_process(flags.config, Flags::default())?;
        ready_url(&loaded.settings.server)
    };
    ask(&url).with_context(|| format!("not ready: {url}"))
}

/// Where a server with these settings answers, seen from its own machine.
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

/// A GET request by hand, since one does not need an HTTP client.
fn ask(url: &str) -> anyhow::Result<()> {
    let (authority, path) = split_url(url)?;
    let mut stream = connect(&authority)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;

    let mut answer = Vec::new();
    stream.take(ANSWER_LIMIT_BYTES).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let status_line = answer.lines().next().unwrap_or_default();
    let (version, status) = status_line.split_once(' ').unwrap_or_default();
    if !version.starts_with("HTTP/") {
        bail!("the answer is not HTTP");
    }
    if status.split(' ').next() != Some("200") {
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        bail!("{status} {}", body.trim());
    }
    Ok(())
}

/// Host with port, and path, of an `http://` address.
fn split_url(url: &str) -> anyhow::Result<(String, &str)> {
    let rest = url
        .strip_prefix("http://")
        .context("the address does not start with http://")?;
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/ready"),
    };
    // The colons inside an IPv6 address do not start a port.
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
    let mut outcome = None;
    for address in addresses {
        match TcpStream::connect_timeout(&address, TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => outcome = Some(error),
        }
    }
    match outcome {
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
    fn health_asks_where_the_settings_listen() {
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
    fn splits_addresses() {
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

    /// Serves `answer` once, and gives what `health` says about it.
    fn health_of(answer: &'static str) -> Result<(), String> {
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
            stream.write_all(answer.as_bytes()).unwrap();
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
    fn health_takes_200_alone_for_ready() {
        assert_eq!(health_of("HTTP/1.1 200 OK\r\n\r\nok"), Ok(()));
        assert_eq!(
            health_of("HTTP/1.1 503 Service Unavailable\r\n\r\nloading\n"),
            Err("503 Service Unavailable loading".to_owned())
        );
        assert_eq!(
            health_of("SSH-2.0-x\r\n"),
            Err("the answer is not HTTP".to_owned())
        );
    }

    #[test]
    fn health_fails_where_nobody_listens() {
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
