//! What entries of the log change of an endpoint.

use armour_api::EndpointState;
use serde_json::Value;
use uuid::Uuid;

use super::leaf::EndpointLeaf;
use crate::merkle::Hash;

/// What an entry changes of what the map says of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It was enrolled: `endpoint.enrol`.
    Enrol {
        /// A producer's address.
        address: Option<String>,
    },
    /// Another start is the endpoint: `endpoint.start`.
    Start {
        /// H of it.
        start: Hash,
        /// A producer's address, if it is another one now.
        address: Option<String>,
    },
    /// Its start ended without a later one: `endpoint.start-end`.
    StartEnd,
    /// Its party's certificate was given: `endpoint.certificate`.
    Certificate {
        /// SHA-256 of it.
        sha256: Hash,
    },
    /// Somebody else holds its keys: `collision.detect`.
    Collide,
    /// It is admitted no more: `endpoint.revoke`.
    Revoke,
}

impl Change {
    /// What an entry with this action, target and detail changes, and of which endpoint;
    /// nothing if it is of something else.
    ///
    /// # Errors
    /// A sentence that says what is missing in an entry that should change something.
    pub fn of(action: &str, target: &str, detail: &Value) -> Result<Option<(Uuid, Self)>, String> {
        let text = |field: &str| detail.get(field).and_then(Value::as_str);
        let hash = |field: &str| {
            let hash = text(field).and_then(from_hex);
            hash.ok_or_else(|| format!("an entry {action} without {field}"))
        };
        let address = || text("address").map(str::to_owned);
        let change = match action {
            "endpoint.enrol" => Self::Enrol { address: address() },
            "endpoint.start" => Self::Start {
                start: hash("start")?,
                address: address(),
            },
            "endpoint.start-end" => Self::StartEnd,
            "endpoint.certificate" => Self::Certificate {
                sha256: hash("sha256")?,
            },
            "collision.detect" => Self::Collide,
            "endpoint.revoke" => Self::Revoke,
            _ => return Ok(None),
        };
        let endpoint = target.parse();
        let endpoint = endpoint.map_err(|_| format!("an entry {action} of no endpoint"))?;
        Ok(Some((endpoint, change)))
    }

    /// What the map says of the endpoint after it.
    pub fn apply(self, endpoint: Uuid, before: Option<EndpointLeaf>) -> EndpointLeaf {
        let before = before.unwrap_or_else(|| EndpointLeaf::new(endpoint));
        match self {
            Self::Enrol { address } => EndpointLeaf {
                address,
                ..EndpointLeaf::new(endpoint)
            },
            Self::Start { start, address } => EndpointLeaf {
                start: Some(start),
                address: address.or(before.address),
                ..before
            },
            Self::StartEnd => EndpointLeaf {
                start: None,
                ..before
            },
            Self::Certificate { sha256 } => EndpointLeaf {
                certificate: Some(sha256),
                ..before
            },
            Self::Collide => ended(before, EndpointState::Collided),
            Self::Revoke => ended(before, EndpointState::Revoked),
        }
    }
}

fn ended(before: EndpointLeaf, state: EndpointState) -> EndpointLeaf {
    EndpointLeaf {
        state,
        start: None,
        ..before
    }
}

/// 32 bytes of hexadecimal.
fn from_hex(text: &str) -> Option<Hash> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_endpoints_life_is_what_its_entries_say() {
        let id = Uuid::from_u128(7);
        let start = "11".repeat(32);
        let entries = [
            (
                "endpoint.enrol",
                json!({ "role": "producer", "address": "http://a" }),
            ),
            ("endpoint.start", json!({ "start": start, "address": null })),
            ("endpoint.certificate", json!({ "sha256": "22".repeat(32) })),
            ("endpoint.renew", json!({ "start": start })),
            ("endpoint.start-end", json!({ "start": start })),
            (
                "endpoint.start",
                json!({ "start": "33".repeat(32), "address": "http://b" }),
            ),
            ("collision.detect", json!({ "kind": "start" })),
            ("endpoint.revoke", json!({ "reason": "stolen" })),
        ];
        let mut leaf = None;
        let seen: Vec<_> = entries
            .iter()
            .map(|(action, detail)| {
                let change = Change::of(action, &id.to_string(), detail).unwrap();
                if let Some((endpoint, change)) = change {
                    assert_eq!(endpoint, id);
                    leaf = Some(change.apply(id, leaf.take()));
                }
                let leaf = leaf.clone().unwrap();
                let first = leaf.start.map(|start| start[0]);
                let address = leaf.address.unwrap();
                (leaf.state, first, leaf.certificate.is_some(), address)
            })
            .collect();
        use EndpointState::{Active, Collided, Revoked};
        let said = [
            (Active, None, false, "http://a"),
            (Active, Some(0x11), false, "http://a"),
            (Active, Some(0x11), true, "http://a"),
            (Active, Some(0x11), true, "http://a"),
            (Active, None, true, "http://a"),
            (Active, Some(0x33), true, "http://b"),
            (Collided, None, true, "http://b"),
            (Revoked, None, true, "http://b"),
        ];
        let said =
            said.map(|(state, start, pinned, address)| (state, start, pinned, address.to_owned()));
        assert_eq!(seen, said);
    }

    #[test]
    fn a_start_of_a_revoked_endpoint_makes_it_no_other() {
        let id = Uuid::from_u128(7);
        let revoked = Change::Revoke.apply(id, None);
        let start = Change::Start {
            start: [1; 32],
            address: None,
        };
        let started = start.apply(id, Some(revoked));
        assert_eq!(started.state, EndpointState::Revoked);
    }

    #[test]
    fn entries_that_do_not_say_what_they_change_are_refused() {
        let id = Uuid::from_u128(7).to_string();
        for (action, target, detail) in [
            ("endpoint.start", &*id, json!({})),
            ("endpoint.start", &id, json!({ "start": "1" })),
            ("endpoint.start", &id, json!({ "start": "ää".repeat(16) })),
            ("endpoint.start", &id, json!({ "start": "+1".repeat(32) })),
            ("endpoint.certificate", &id, json!({ "sha256": 7 })),
            ("endpoint.revoke", "nobody", json!({})),
        ] {
            assert!(Change::of(action, target, &detail).is_err(), "{action}");
        }
        assert_eq!(Change::of("pair.create", &id, &json!({})), Ok(None));
    }
}
