//! The web console's files, under a content security policy that allows no inline
//! script, no other host, and inline styles only with the nonce of the answer.

use std::{path::Path, sync::Arc};

use armour_ambient::Random;
use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderValue, Response, StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use tower_http::{services::ServeDir, set_header::SetResponseHeaderLayer};

use crate::http::problem::ApiError;

/// What stands in the page where the nonce comes.
const PLACE: &str = "__ARMOUR_NONCE__";

/// The console's files; pages of its own making are all `index.html`.
pub fn router(dir: &Path, random: &Random) -> Router {
    let pages = Pages {
        index: dir.join("index.html").into(),
        random: random.clone(),
    };
    let every = Router::new().fallback(page).with_state(pages.clone());
    let files = ServeDir::new(dir)
        .append_index_html_on_directories(false)
        .fallback(every);
    let header =
        |name, value| SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value));
    Router::new()
        .route("/index.html", get(page).with_state(pages))
        .fallback_service(files)
        .layer(header(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(header(header::REFERRER_POLICY, "no-referrer"))
}

/// What pages are made of.
#[derive(Clone)]
struct Pages {
    index: Arc<Path>,
    random: Random,
}

/// The page, with a nonce of its own for the styles that its components make.
async fn page(State(pages): State<Pages>) -> Response<Body> {
    let text = match tokio::fs::read_to_string(&pages.index).await {
        Ok(text) => text,
        Err(error) => {
            tracing::warn!(%error, file = %pages.index.display(), "no console");
            return ApiError::not_found("no such resource").into_response();
        }
    };
    let nonce = STANDARD.encode(pages.random.bytes::<16>());
    let policy = format!(
        "default-src 'self'; style-src 'self' 'nonce-{nonce}'; frame-ancestors 'none'; \
         base-uri 'none'; form-action 'self'"
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
    ];
    (StatusCode::OK, headers, text.replace(PLACE, &nonce)).into_response()
}
