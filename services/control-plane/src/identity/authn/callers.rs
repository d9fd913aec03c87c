//! Who calls, before anything is looked up: by what a credential shows of itself, or because
//! it was accepted lately.

use std::sync::Arc;

use axum::http::{header, request::Parts};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{credential::member_credential, state::Authn};
use crate::http::rate_limit::Callers;

impl Callers for Arc<Authn> {
    fn identify(&self, parts: &Parts) -> Option<[u8; 32]> {
        let text = parts.headers.get(header::AUTHORIZATION);
        let text = text.and_then(|value| value.to_str().ok());
        let (scheme, shown) = text.and_then(|text| text.split_once(' ')).unzip();
        match (scheme, shown) {
            // What an endpoint shows is signed by us.
            (Some(scheme), Some(token)) if scheme.eq_ignore_ascii_case("dpop") => {
                let known = self.signing.verify_known(token.trim(), self.store.now());
                let claims = known.ok()?;
                let hash = Sha256::new()
                    .chain_update(b"endpoint")
                    .chain_update(claims.tenant)
                    .chain_update(claims.sub);
                Some(hash.finalize().into())
            }
            (Some(scheme), Some(token))
                if scheme.eq_ignore_ascii_case("bearer") && self.is_platform(token.trim()) =>
            {
                Some(self.platform_hash)
            }
            _ => {
                let token = member_credential(parts).ok()?;
                self.accepted.contains(&token.hash).then_some(token.hash)
            }
        }
    }
}

impl Authn {
    /// Whether this is the platform administrator's token.
    pub fn is_platform(&self, token: &str) -> bool {
        let hash: [u8; 32] = Sha256::digest(token).into();
        bool::from(hash.ct_eq(&self.platform_hash))
    }
}
