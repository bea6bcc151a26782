//! Refusals of requests from pages of other sites, with the caller's text.

use axum::http::StatusCode;

use super::description::{Description, truncated};

/// Reasons why a request counts as cross-site.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CrossSite {
    /// The host name may belong to a page (DNS rebinding).
    #[error("host {0:?} is not allowed")]
    Host(String),
    /// The page is of another origin.
    #[error("origin {0:?} is not allowed")]
    Origin(String),
    /// The page is of another site, of unknown origin.
    #[error("the request comes from a page of another site")]
    Site,
}

/// Names the setting that would allow the page.
pub(super) fn describe(reason: &CrossSite) -> Description {
    let (message, code) = match reason {
        CrossSite::Host(host) => (
            format!(
                "The host name {:?} is not allowed. If it belongs to this server, add it to \
                 ALLOWED_HOSTS, or set API_KEY.",
                truncated(host)
            ),
            "host_not_allowed",
        ),
        CrossSite::Origin(origin) => (
            format!(
                "Pages of the origin {:?} may not call this server. To allow them, add it to \
                 ALLOW_ORIGINS, or set API_KEY.",
                truncated(origin)
            ),
            "origin_not_allowed",
        ),
        CrossSite::Site => (
            "Pages of other sites may not call this server. To allow one, add its origin to \
             ALLOW_ORIGINS, or set API_KEY."
                .to_owned(),
            "origin_not_allowed",
        ),
    };
    Description::new(StatusCode::FORBIDDEN, &message).code(code)
}
