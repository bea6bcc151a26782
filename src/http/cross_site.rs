//! Refuses what pages of other sites send, where no API key keeps them out.
//!
//! A browser lets every page send a form to a server on its user's machine, and a page whose own name is
//! made to resolve to that machine (DNS rebinding) may read and delete too. Both show in headers that a
//! page cannot change: `Origin` and `Sec-Fetch-Site` (Fetch Metadata), and `Host` for the second.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use super::{Context, HttpSettings};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Stands for a header that is sent twice or is not text: no origin and no host is called so.
const UNREADABLE: &str = "(unreadable)";
/// Ends of names that no public DNS zone has, so that no page can have such a name: of loopback, of
/// multicast DNS, of private networks, and of services in Kubernetes.
const PRIVATE_ENDS: [&str; 4] = [".localhost", ".local", ".internal", ".svc"];
/// Origins of programs with a web view, which no web site can have.
const PROGRAM_SCHEMES: [&str; 2] = ["app", "tauri"];

/// What of a request tells whose page it comes from.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    method: &'a Method,
    path: &'a str,
    host: Option<&'a str>,
    origin: Option<&'a str>,
    site: Option<&'a str>,
}

/// Why a request is taken for one of another site's page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CrossSite {
    /// The server is called by a name that a page may have, too.
    #[error("host {0:?} is not allowed")]
    Host(String),
    /// The page is of another site.
    #[error("origin {0:?} is not allowed")]
    Origin(String),
    /// The page is of another site, and does not say which.
    #[error("the request comes from a page of another site")]
    Site,
}

/// Answers what [`judge`] refuses with 403.
pub async fn refuse(State(context): State<Arc<Context>>, request: Request, next: Next) -> Response {
    let sender = Sender::of(request.method(), request.uri(), request.headers());
    match judge(sender, &context.settings) {
        Ok(()) => next.run(request).await,
        Err(reason) => ApiError::CrossSite(reason).into_response(),
    }
}

/// Whether the request may have been sent by a page of another site, which these rules do not let in.
/// What is upgraded to a live connection is judged by the request for it.
///
/// # Errors
/// [`CrossSite`], the reason.
pub fn judge(sender: Sender<'_>, settings: &HttpSettings) -> Result<(), CrossSite> {
    // A page does not know the key, so a request with the key is no page's; and these tell nothing.
    if !settings.api_keys.is_empty() || sender.asks_for_what_tells_nothing() {
        return Ok(());
    }
    if let Some(host) = sender.host.filter(|host| !is_host_allowed(host, settings)) {
        return Err(CrossSite::Host(host.to_owned()));
    }
    match sender.origin {
        _ if is_any_origin_allowed(settings) => Ok(()),
        Some(origin) if is_origin_allowed(origin, settings) => Ok(()),
        Some(origin) if !sender.is_own(origin) => Err(CrossSite::Origin(origin.to_owned())),
        _ if matches!(sender.site, Some("cross-site" | UNREADABLE)) => Err(CrossSite::Site),
        _ => Ok(()),
    }
}

impl<'a> Sender<'a> {
    /// The sender of a request with this head.
    pub fn of(method: &'a Method, uri: &'a Uri, headers: &'a HeaderMap) -> Self {
        // A target with an authority goes before `Host` (RFC 9112, 3.2.2).
        let target = uri.authority().map(Authority::as_str);
        Self {
            method,
            path: uri.path(),
            host: target.or_else(|| only(headers, &header::HOST)),
            origin: only(headers, &header::ORIGIN),
            site: only(headers, &SEC_FETCH_SITE),
        }
    }

    /// Pages that are the same for everyone, and whether the server is there.
    fn asks_for_what_tells_nothing(&self) -> bool {
        let is_read = [Method::GET, Method::HEAD].contains(self.method);
        let is_named = matches!(self.path, "/" | "/docs" | "/health" | "/ready");
        is_read && (is_named || self.path.starts_with("/docs/"))
    }

    /// Whether the page comes from this server: from the host and port that it is called by. The scheme
    /// is the browser's, for a proxy may speak TLS for the server.
    fn is_own(&self, origin: &str) -> bool {
        let (Some(host), Some((scheme, of_page))) = (self.host, origin.split_once("://")) else {
            return false;
        };
        let default = match scheme {
            "http" => "80",
            "https" => "443",
            _ => return false,
        };
        let with_port = |authority: &str| {
            let (name, port) = split_port(authority)?;
            Some((
                name.to_ascii_lowercase(),
                port.unwrap_or(default).to_owned(),
            ))
        };
        with_port(of_page).is_some_and(|of_page| with_port(host) == Some(of_page))
    }
}

/// The header's text, if it is there.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().unwrap_or(UNREADABLE);
    Some(if values.next().is_none() {
        value
    } else {
        UNREADABLE
    })
}

fn is_host_allowed(host: &str, settings: &HttpSettings) -> bool {
    let is_listed = |name: &str| {
        let mut listed = settings.allowed_hosts.iter();
        listed.any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(name))
    };
    let Some((name, _)) = split_port(host) else {
        return is_listed(host);
    };
    let name = name.to_ascii_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    is_address(name) || is_private(name) || is_listed(name)
}

/// Whether pages of every origin are let in.
pub fn is_any_origin_allowed(settings: &HttpSettings) -> bool {
    settings.allow_origins.iter().any(|allowed| allowed == "*")
}

/// Whether pages of this origin are let in, to send requests and to read their answers. Where there
/// are keys, a page may send what it likes, for it takes a key to have an effect; then this is about
/// reading alone, which is the settings' to say.
pub fn is_origin_allowed(origin: &str, settings: &HttpSettings) -> bool {
    if settings.allow_origins.iter().any(|allowed| allowed == origin) {
        return true;
    }
    if !settings.api_keys.is_empty() {
        return false;
    }
    match origin.split_once("://") {
        Some(("http" | "https", authority)) => {
            split_port(authority).is_some_and(|(name, _)| is_loopback(name))
        }
        Some((scheme, _)) => PROGRAM_SCHEMES.contains(&scheme),
        None => false,
    }
}

/// A name or an address, and the port behind it; `None` for what is neither.
fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    // An address of IPv6 has colons of its own, and brackets.
    let end = authority.find(']').map_or(0, |bracket| bracket + 1);
    let (name, port) = match authority[end..].find(':') {
        Some(colon) => {
            let (name, port) = authority.split_at(end + colon);
            (name, Some(&port[1..]))
        }
        None => (authority, None),
    };
    let is_number = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_name = name.bytes().all(is_plain) || is_address(name);
    (is_name && port.is_none_or(is_number)).then_some((name, port))
}

fn is_address(name: &str) -> bool {
    name.parse::<Ipv4Addr>().is_ok() || ipv6(name).is_some()
}

fn ipv6(name: &str) -> Option<Ipv6Addr> {
    name.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

fn is_private(name: &str) -> bool {
    // A name without a dot is one of this machine or of its network.
    !name.contains('.') || PRIVATE_ENDS.iter().any(|end| name.ends_with(end))
}

fn is_loopback(name: &str) -> bool {
    let v4 = name.parse::<Ipv4Addr>();
    v4.is_ok_and(|address| address.is_loopback())
        || ipv6(name).is_some_and(|address| address.is_loopback())
        || name == "localhost"
        || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests;
