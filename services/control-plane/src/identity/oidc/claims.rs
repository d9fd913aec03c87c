//! Claims, and claims within claims.

use serde_json::{Map, Value};

/// A claim by its name; `a.b` names a claim within a claim unless there is one of the
/// whole name (Kubernetes has `kubernetes.io`, Keycloak `realm_access.roles`).
pub fn find<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    name.match_indices('.')
        .find_map(|(at, _)| match claims.get(&name[..at]) {
            Some(Value::Object(inner)) => find(inner, &name[at + 1..]),
            _ => None,
        })
}

/// A claim's text, if it is one value.
pub fn text(claims: &Map<String, Value>, name: &str) -> Option<String> {
    match find(claims, name)? {
        Value::String(text) => Some(text.clone()),
        value @ (Value::Bool(_) | Value::Number(_)) => Some(value.to_string()),
        _ => None,
    }
}

/// A claim's texts: a list of them, or one.
pub fn texts<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<Vec<&'a str>> {
    match find(claims, name)? {
        Value::Array(values) => Some(values.iter().filter_map(Value::as_str).collect()),
        Value::String(one) => Some(vec![one]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_are_found_within_claims() {
        let claims = json!({
            "kubernetes.io": { "namespace": "shop", "pod": { "name": "p" } }, "n": 1,
            "resource_access": { "my.client": { "roles": ["admin", 7, "staff"] } },
        });
        let claims = claims.as_object().unwrap();
        let read = |name: &str| text(claims, name);
        assert_eq!(read("kubernetes.io.namespace").as_deref(), Some("shop"));
        assert_eq!(read("kubernetes.io.pod.name").as_deref(), Some("p"));
        assert_eq!(read("n").as_deref(), Some("1"));
        assert_eq!(read("kubernetes.io"), None);
        assert_eq!(read("kubernetes.io.none"), None);
        let roles = texts(claims, "resource_access.my.client.roles");
        assert_eq!(roles, Some(vec!["admin", "staff"]));
        assert_eq!(texts(claims, "resource_access"), None);
    }
}
