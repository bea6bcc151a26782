//! The page for trying the server out in a browser.

use axum::response::{Html, IntoResponse};

/// `GET /`: the page, which needs nothing from elsewhere.
pub async fn show_page() -> impl IntoResponse {
    Html(include_str!("page.html"))
}
