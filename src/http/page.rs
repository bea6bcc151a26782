//! The page to try the server in a browser.

use axum::response::{Html, IntoResponse};

/// `GET /`: the page, which loads no external resources.
pub async fn show_page() -> impl IntoResponse {
    Html(include_str!("page.html"))
}
