//! Where a call comes from, as its audit entries tell.

use std::net::IpAddr;

use serde_json::{Value, json};

tokio::task_local! {
    static ORIGIN: Origin;
}

/// Where a call comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The address that it was made from, as far as the proxies in front are believed.
    pub address: Option<IpAddr>,
    /// Its id, as in the `x-request-id` header.
    pub request_id: Option<String>,
}

impl Origin {
    /// Has this done as a part of the call: audit entries that it writes say so.
    pub async fn scope<F: Future>(self, done: F) -> F::Output {
        ORIGIN.scope(self, done).await
    }

    /// The call that this task is a part of, if it is of one.
    pub fn current() -> Option<Self> {
        ORIGIN.try_with(Clone::clone).ok()
    }

    /// Says it in an entry's detail, as `request`.
    pub(crate) fn tell(&self, detail: &mut Value) {
        if detail.is_null() {
            *detail = json!({});
        }
        let request = json!({ "address": self.address, "id": self.request_id });
        if let Value::Object(members) = detail {
            members.entry("request").or_insert(request);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_tells_where_its_call_came_from_and_keeps_what_it_says_itself() {
        let origin = Origin {
            address: Some(IpAddr::from([192, 0, 2, 7])),
            request_id: Some("r1".into()),
        };
        let told = json!({ "address": "192.0.2.7", "id": "r1" });
        for (mut detail, expected) in [
            (json!(null), json!({ "request": told })),
            (
                json!({ "why": "x" }),
                json!({ "why": "x", "request": told }),
            ),
            (json!({ "request": 1 }), json!({ "request": 1 })),
        ] {
            origin.tell(&mut detail);
            assert_eq!(detail, expected);
        }
    }
}
