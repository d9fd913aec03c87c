//! Has a control plane answer as one of a later release, so that tests can run agents with it.
//! Only a build with the feature `other-release` does, which is never part of a release.

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

/// The variable of the environment that asks for it.
const VARIABLE: &str = "ARMOUR_OTHER_RELEASE";
/// The longest answer that is changed, in bytes.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// Whether this process is to answer so.
pub fn is_on() -> bool {
    cfg!(feature = "other-release") && std::env::var_os(VARIABLE).is_some()
}

/// Adds to each document of an answer a member that this release does not know.
pub async fn answer(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let kind = response.headers().get(header::CONTENT_TYPE);
    if kind.is_none_or(|kind| kind != "application/json") {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    let body = match serde_json::from_slice(&body) {
        Ok(mut document) => {
            add(&mut document);
            document.to_string().into()
        }
        Err(_) => body,
    };
    Response::from_parts(parts, Body::from(body))
}

fn add(value: &mut Value) {
    match value {
        // An entry of the audit log is hashed as it was written.
        Value::Object(entry) if entry.contains_key("seq") && entry.contains_key("action") => {}
        Value::Object(members) => {
            // Both ends are bound to a policy as it stands, so that none may ignore any of it: a
            // later release leaves out of it what is not made use of.
            let others = members.iter_mut().filter(|(name, _)| *name != "policy");
            others.for_each(|(_, member)| add(member));
            members.insert("of_a_later_release".to_owned(), json!({ "since": [1] }));
        }
        Value::Array(items) => items.iter_mut().for_each(add),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_object_of_an_answer_has_a_member_more() {
        let mut document = json!({
            "items": [{ "id": 1 }, 7], "next": null, "policy": { "suite": 1 },
            "entry": { "seq": 1, "action": "pair.create" },
        });
        add(&mut document);
        assert!(document["of_a_later_release"].is_object());
        assert!(document["items"][0]["of_a_later_release"].is_object());
        assert_eq!(document["items"][1], 7);
        assert_eq!(document["next"], Value::Null);
        assert_eq!(document["policy"], json!({ "suite": 1 }));
        assert_eq!(
            document["entry"],
            json!({ "seq": 1, "action": "pair.create" })
        );
    }
}
