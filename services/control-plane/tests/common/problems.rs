//! Holds each problem that an operation answers with to the OpenAPI document.

use std::{
    collections::{HashMap, HashSet},
    io::Write,
    sync::Arc,
};

use armour_control_plane::app::openapi_document;
use axum::{
    body::{Body, to_bytes},
    extract::{MatchedPath, Request, State},
    http::Method,
    middleware::Next,
    response::Response,
};
use serde_json::Value;

/// Statuses and types of problems, by an operation's method and path.
pub type Declared = HashMap<(String, String), HashSet<(String, String)>>;

/// What the document declares.
pub fn declared() -> Declared {
    let document = openapi_document().expect("document");
    let document: Value = serde_json::from_str(&document).expect("JSON");
    let mut declared = Declared::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            let mut problems = HashSet::new();
            for (status, response) in operation["responses"].as_object().expect("responses") {
                let response = match response["$ref"].as_str() {
                    Some(named) => document
                        .pointer(named.trim_start_matches('#'))
                        .unwrap_or_else(|| panic!("no {named}")),
                    None => response,
                };
                for kind in response["x-problem-types"].as_array().into_iter().flatten() {
                    let kind = kind.as_str().expect("a type").to_owned();
                    problems.insert((status.clone(), kind));
                }
            }
            declared.insert((method.to_uppercase(), path.clone()), problems);
        }
    }
    declared
}

/// Ends the tests at a problem that is not declared: a panic here would end no more than
/// the connection, and most tests look at a status alone.
pub async fn check(
    State(declared): State<Arc<Declared>>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.extensions().get::<MatchedPath>().cloned();
    let method = match request.method() {
        &Method::HEAD => &Method::GET,
        other => other,
    };
    let operation = path.map(|path| (method.to_string(), path.as_str().to_owned()));
    let response = next.run(request).await;
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let Some(allowed) = operation.as_ref().and_then(|one| declared.get(one)) else {
        return response;
    };
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.expect("a body");
    let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
    let kind = problem["type"].as_str().unwrap_or("no problem").to_owned();
    if !body.is_empty() && !allowed.contains(&(status.as_u16().to_string(), kind.clone())) {
        let (method, path) = operation.unwrap_or_default();
        // Past the harness, which would keep it to itself.
        let mut out = std::io::stderr();
        let _ = writeln!(
            out,
            "{method} {path} answers with {status} {kind}, which it does not declare"
        );
        std::process::exit(1);
    }
    Response::from_parts(parts, Body::from(body))
}
