//! The problems of each operation, in the OpenAPI document.
//!
//! A handler declares those of its own in its attribute, as `x-problems`; what all
//! operations of a kind share follows from what they take and from who may call them.
//! Tests hold each answer to it.

use std::collections::{BTreeMap, BTreeSet};

use armour_api::{Problem, ProblemType};
use serde_json::json;
use utoipa::openapi::{
    Content, OpenApi, Ref, RefOr, Response,
    extensions::Extensions,
    path::{Operation, ParameterIn},
};

use ProblemType::{
    ChangedMeanwhile, DatabaseBusy, IdempotencyAnswerLost, IdempotencyKeyPending,
    IdempotencyKeyReused, Internal, InvalidBody, InvalidRequest, NotFound, RateLimited, SlowBody,
    TooLarge, Unavailable,
};

/// Where a handler declares its own.
const OWN: &str = "x-problems";
/// Where the document lists an answer's types.
const TYPES: &str = "x-problem-types";

/// Completes the document: of `by_caller` are the problems of who may call a route, by its
/// method and path.
pub fn describe(document: &mut OpenApi, by_caller: impl Fn(&str, &str) -> Vec<ProblemType>) {
    let mut shared = BTreeMap::new();
    for (path, item) in &mut document.paths.paths {
        let operations = [
            ("GET", &mut item.get),
            ("POST", &mut item.post),
            ("PUT", &mut item.put),
            ("DELETE", &mut item.delete),
        ];
        for (method, operation) in operations {
            let Some(operation) = operation else {
                continue;
            };
            let mut problems = own_problems(operation);
            problems.extend(by_layers(method, operation));
            problems.extend(by_caller(method, path));
            for (status, types) in by_status(&problems) {
                let response = match types[..] {
                    [only] => {
                        let name = match only.statuses() {
                            [_] => only.to_string(),
                            _ => format!("{only}-{status}"),
                        };
                        shared
                            .entry(name.clone())
                            .or_insert_with(|| response(&types));
                        RefOr::Ref(Ref::from_response_name(name))
                    }
                    _ => RefOr::T(response(&types)),
                };
                let responses = &mut operation.responses.responses;
                responses.insert(status.to_string(), response);
            }
        }
    }
    let components = document.components.get_or_insert_default();
    let shared = shared.into_iter();
    components
        .responses
        .extend(shared.map(|(name, response)| (name, RefOr::T(response))));
}

/// Takes what the handler declares out of the document.
fn own_problems(operation: &mut Operation) -> BTreeSet<ProblemType> {
    let extensions = operation.extensions.as_mut();
    let names = extensions.and_then(|all| all.remove(OWN));
    let names = names.iter().filter_map(|names| names.as_array()).flatten();
    let names = names.filter_map(|name| name.as_str());
    names.filter_map(|name| name.parse().ok()).collect()
}

/// What the layers and extractors before the handler refuse.
fn by_layers(method: &str, operation: &Operation) -> Vec<ProblemType> {
    let mut problems = vec![
        RateLimited,
        SlowBody,
        TooLarge,
        Internal,
        Unavailable,
        DatabaseBusy,
    ];
    if method == "POST" {
        problems.extend([
            InvalidRequest,
            IdempotencyKeyReused,
            IdempotencyKeyPending,
            IdempotencyAnswerLost,
        ]);
    }
    if operation.request_body.is_some() {
        problems.extend([InvalidRequest, InvalidBody]);
    }
    for parameter in operation.parameters.iter().flatten() {
        let RefOr::T(parameter) = parameter else {
            continue;
        };
        problems.push(match parameter.parameter_in {
            ParameterIn::Path => NotFound,
            ParameterIn::Header if parameter.name == "If-Match" => ChangedMeanwhile,
            _ => InvalidRequest,
        });
    }
    problems
}

fn by_status(problems: &BTreeSet<ProblemType>) -> BTreeMap<u16, Vec<ProblemType>> {
    let mut found: BTreeMap<u16, Vec<ProblemType>> = BTreeMap::new();
    for problem in problems {
        for status in problem.statuses() {
            found.entry(*status).or_default().push(*problem);
        }
    }
    found
}

fn response(types: &[ProblemType]) -> Response {
    let lines = types
        .iter()
        .map(|kind| format!("`{kind}`: {}", kind.meaning()));
    let urns: Vec<String> = types
        .iter()
        .map(|kind| Problem::new(kind.name(), kind.status(), "").r#type)
        .collect();
    let mut response = Response::new(lines.collect::<Vec<_>>().join("\n\n"));
    let schema = Ref::from_schema_name("Problem");
    response.content.insert(
        Problem::MEDIA_TYPE.to_owned(),
        RefOr::T(Content::new(Some(schema))),
    );
    response.extensions = Some(Extensions::from_iter([(TYPES.to_owned(), json!(urns))]));
    response
}
