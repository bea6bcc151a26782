//! Refuses cross-site requests of browsers when no API key is set.
//!
//! A browser lets every page send a form to a server on its user's machine, and a page whose host name is
//! made to resolve to that machine (DNS rebinding) may also read and delete. Headers that a page cannot
//! change reveal both: `Origin` and `Sec-Fetch-Site` (Fetch Metadata), and `Host` for DNS rebinding.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::{ApiError, CrossSite};
use super::{Context, HttpSettings, live};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Stands for a header that is sent twice or is not text; no origin and no host equals it.
const UNREADABLE: &str = "(unreadable)";
/// Domains outside public DNS, so that no page can have a name in them: loopback, multicast DNS, private
/// networks, and services in Kubernetes.
const PRIVATE_SUFFIXES: [&str; 4] = [".localhost", ".local", ".internal", ".svc"];
/// URI schemes of the origins of desktop programs with a web view; no web site can have them.
const DESKTOP_SCHEMES: [&str; 2] = ["app", "tauri"];

/// The parts of a request head that reveal its origin.
#[derive(Clone, Copy, Debug)]
pub struct RequestSource<'a> {
    method: &'a Method,
    path: &'a str,
    host: Option<&'a str>,
    origin: Option<&'a str>,
    site: Option<&'a str>,
}

/// Answers 403 to requests that [`check`] refuses; a page with a client secret has it from a server that may call.
pub async fn refuse(State(context): State<Arc<Context>>, request: Request, next: Next) -> Response {
    let source = RequestSource::of(request.method(), request.uri(), request.headers());
    match check(source, &context.settings) {
        Ok(()) => next.run(request).await,
        Err(_) if live::opens_with_secret(&context, &request) => next.run(request).await,
        Err(reason) => ApiError::CrossSite(reason).into_response(),
    }
}

/// Checks that the request does not come from a page of another site, unless the settings allow that page.
/// The request that opens a live connection is checked in the same way.
///
/// # Errors
/// [`CrossSite`], the reason.
pub fn check(source: RequestSource<'_>, settings: &HttpSettings) -> Result<(), CrossSite> {
    // A page does not know the key, so a request with the key is not cross-site.
    if !settings.api_keys.is_empty() || source.is_for_public_page() {
        return Ok(());
    }
    if let Some(host) = source.host.filter(|host| !is_host_allowed(host, settings)) {
        return Err(CrossSite::Host(host.to_owned()));
    }
    match source.origin {
        _ if is_any_origin_allowed(settings) => Ok(()),
        Some(origin) if is_origin_allowed(origin, settings) => Ok(()),
        Some(origin) if !source.is_same_origin(origin) => Err(CrossSite::Origin(origin.to_owned())),
        _ if matches!(source.site, Some("cross-site" | UNREADABLE)) => Err(CrossSite::Site),
        _ => Ok(()),
    }
}

impl<'a> RequestSource<'a> {
    /// The source of a request with this head.
    pub fn of(method: &'a Method, uri: &'a Uri, headers: &'a HeaderMap) -> Self {
        // A target with an authority takes precedence over `Host` (RFC 9112, 3.2.2).
        let target = uri.authority().map(Authority::as_str);
        Self {
            method,
            path: uri.path(),
            host: target.or_else(|| single_value(headers, &header::HOST)),
            origin: single_value(headers, &header::ORIGIN),
            site: single_value(headers, &SEC_FETCH_SITE),
        }
    }

    /// Whether the request reads a page that is the same for all callers, or a probe.
    fn is_for_public_page(&self) -> bool {
        let is_read = [Method::GET, Method::HEAD].contains(self.method);
        let is_named = matches!(self.path, "/" | "/docs" | "/health" | "/ready");
        let is_file = ["/docs/", "/page/"]
            .iter()
            .any(|folder| self.path.starts_with(folder));
        is_read && (is_named || is_file)
    }

    /// Whether the page comes from this server, that is from the host and port of the request. The scheme
    /// is taken from the origin, because a proxy may terminate TLS for the server.
    fn is_same_origin(&self, origin: &str) -> bool {
        let (Some(host), Some((scheme, page_host))) = (self.host, origin.split_once("://")) else {
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
        with_port(page_host).is_some_and(|page_host| with_port(host) == Some(page_host))
    }
}

/// The header's text, if the header is sent; [`UNREADABLE`] if it is sent twice or is not text.
fn single_value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
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

/// Whether pages of every origin are allowed.
pub fn is_any_origin_allowed(settings: &HttpSettings) -> bool {
    settings.allow_origins.iter().any(|allowed| allowed == "*")
}

/// Whether pages of this origin may send requests and read the responses. If keys are set, a request has no
/// effect without a key, so this restricts only reading, and only configured origins are allowed.
pub fn is_origin_allowed(origin: &str, settings: &HttpSettings) -> bool {
    if settings
        .allow_origins
        .iter()
        .any(|allowed| allowed == origin)
    {
        return true;
    }
    if !settings.api_keys.is_empty() {
        return false;
    }
    match origin.split_once("://") {
        Some(("http" | "https", authority)) => {
            split_port(authority).is_some_and(|(name, _)| is_loopback(name))
        }
        Some((scheme, _)) => DESKTOP_SCHEMES.contains(&scheme),
        None => false,
    }
}

/// Splits a host name or an address from its port; `None` if it is neither.
fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    // An IPv6 address contains colons and is in brackets.
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
    // A name without a dot belongs to this machine or its network.
    !name.contains('.') || PRIVATE_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
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
