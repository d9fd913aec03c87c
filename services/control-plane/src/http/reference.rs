//! The API's reference, a page of Swagger UI's on the document that this service gives.

use axum::{
    Router,
    http::{HeaderValue, header},
};
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa::openapi::{OpenApi, RefOr};
use utoipa_swagger_ui::{Config, SwaggerUi};

/// Where it is.
pub const PATH: &str = "/reference";
/// Its components set inline styles; scripts are its own files alone.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/// The page and its files.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let config = Config::from("/v1/openapi.json")
        .persist_authorization(false)
        .validator_url("none");
    let page: Router<S> = SwaggerUi::new(PATH).config(config).into();
    let header =
        |name, value| SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value));
    page.layer(header(header::CONTENT_SECURITY_POLICY, POLICY))
        .layer(header(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(header(header::REFERRER_POLICY, "no-referrer"))
}

/// Describes each response that has no words of its own: OpenAPI 3.1 demands some, and
/// generators of clients do too.
pub fn describe(document: &mut OpenApi) {
    for item in document.paths.paths.values_mut() {
        let operations = [
            &mut item.get,
            &mut item.post,
            &mut item.put,
            &mut item.delete,
        ];
        for operation in operations.into_iter().flatten() {
            for (status, response) in &mut operation.responses.responses {
                if let RefOr::T(response) = response
                    && response.description.is_empty()
                {
                    response.description = meaning(status).to_owned();
                }
            }
        }
    }
}

fn meaning(status: &str) -> &'static str {
    match status.as_bytes().first() {
        Some(b'2') if status == "201" => "Made.",
        Some(b'2') if status == "204" => "Done.",
        Some(b'2') => "The answer.",
        _ => "Elsewhere.",
    }
}
