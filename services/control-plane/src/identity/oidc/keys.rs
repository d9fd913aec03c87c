//! The keys that an issuer publishes (RFC 7517): those that verify signatures.

use jsonwebtoken::{
    DecodingKey,
    jwk::{Jwk, JwkSet},
};
use openidconnect::core::{CoreJsonWebKey, CoreJsonWebKeySet};
use serde::Deserialize;
use serde_json::Value;

/// An issuer's keys, for the two libraries that verify with them.
pub struct Keys {
    /// For ID tokens.
    pub for_people: CoreJsonWebKeySet,
    for_tokens: JwkSet,
}

#[derive(Deserialize)]
struct Published {
    keys: Vec<Value>,
}

impl Keys {
    /// Reads a set of keys. Members that cannot be read, or are for something else than
    /// signatures, are passed over (RFC 7517, section 5): one of them takes no other with it.
    ///
    /// # Errors
    /// If it is no set of keys.
    pub fn read(text: &[u8]) -> serde_json::Result<Self> {
        let published: Published = serde_json::from_slice(text)?;
        let signing = || {
            let whole = published.keys.iter().filter(|key| is_whole(key));
            whole.filter(|key| verifies(key))
        };
        let people = signing().filter_map(|key| CoreJsonWebKey::deserialize(key).ok());
        let tokens = signing().filter_map(|key| Jwk::deserialize(key).ok());
        Ok(Self {
            for_people: CoreJsonWebKeySet::new(people.collect()),
            for_tokens: JwkSet {
                keys: tokens.collect(),
            },
        })
    }

    /// The key of an id; without an id the only one there is.
    pub fn find(&self, kid: Option<&str>) -> Option<DecodingKey> {
        let jwk = match (kid, &self.for_tokens.keys[..]) {
            (Some(kid), _) => self.for_tokens.find(kid)?,
            (None, [only]) => only,
            (None, _) => return None,
        };
        DecodingKey::from_jwk(jwk).ok()
    }
}

/// Whether a key has the public members of its kind, as text (RFC 7518, section 6; RFC 8037,
/// section 2). Keys of other kinds verify nothing here.
fn is_whole(key: &Value) -> bool {
    let members: &[&str] = match key.get("kty").and_then(Value::as_str) {
        Some("RSA") => &["n", "e"],
        Some("EC") => &["crv", "x", "y"],
        Some("OKP") => &["crv", "x"],
        _ => return false,
    };
    members
        .iter()
        .all(|member| key.get(member).is_some_and(Value::is_string))
}

/// Whether a key may verify signatures, as far as it says what it is for (RFC 7517,
/// sections 4.2 and 4.3).
fn verifies(key: &Value) -> bool {
    let is_signing = key.get("use").is_none_or(|is| is == "sig");
    let operations = key.get("key_ops").and_then(Value::as_array);
    is_signing && operations.is_none_or(|ops| ops.iter().any(|op| op == "verify"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sign_in_one_malformed_key_or_one_for_encryption_takes_no_other_with_it() {
        let good = |kid: &str| {
            json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "alg": "EdDSA", "use": "sig",
                "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" })
        };
        let mut encrypts = good("encrypts");
        encrypts["use"] = "enc".into();
        let mut wraps = good("wraps");
        wraps["key_ops"] = json!(["wrapKey"]);
        let set = json!({ "keys": [
            { "kty": "of tomorrow", "kid": "unknown" },
            { "kty": "RSA", "kid": "malformed", "n": 7 },
            "nothing", encrypts, wraps, good("good"),
        ]});
        let keys = Keys::read(set.to_string().as_bytes()).unwrap();
        assert!(keys.find(Some("good")).is_some());
        assert_eq!(keys.for_people.keys().len(), 1);
        for other in ["unknown", "malformed", "encrypts", "wraps", "none"] {
            assert!(keys.find(Some(other)).is_none(), "{other}");
        }
        assert!(Keys::read(b"{}").is_err());
    }
}
