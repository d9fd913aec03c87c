//! Calls of endpoints that show no access token: starts, links, presences, requests of tokens.
//! They are signed, and limited by the endpoint that signed them, wherever they come from. What
//! no endpoint is known to have signed counts against its source alone: so whoever floods from
//! behind an ingress refuses no endpoint behind it that this replica has heard before.

use std::{collections::HashMap, num::NonZeroU32, time::Duration};

use armour_api::ProblemType;
use armour_protocol::v2::identity::mark::Incarnated;
use ed25519_dalek::VerifyingKey;
use governor::{DefaultKeyedRateLimiter, Quota};
use hashlink::LruCache;
use parking_lot::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use crate::http::{
    problem::{ApiError, ApiResult},
    rate_limit::Source,
};

/// Most endpoints whose keys are kept, and most sources.
const MAX_KEPT: usize = 100_000;
/// For how long a source is refused that sent too much.
const REFUSED_FOR: Duration = Duration::from_secs(1);

/// Whose signature a call says that it bears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signatory {
    /// The tenant.
    pub tenant: Uuid,
    /// The endpoint.
    pub endpoint: Uuid,
}

/// Keys of an endpoint that signed a call to this replica.
#[derive(Debug, Clone, Default)]
pub struct KnownKeys {
    /// The long-term key.
    pub long_term: Option<VerifyingKey>,
    /// A start, with the keys that it signs with now: at most two.
    pub start: Option<(Incarnated, Vec<VerifyingKey>)>,
}

/// This replica's limits of signed calls.
pub struct SignedCalls {
    by_endpoint: DefaultKeyedRateLimiter<Signatory>,
    by_source: DefaultKeyedRateLimiter<Source>,
    refused: Mutex<HashMap<Source, Instant>>,
    known: Mutex<LruCache<Signatory, KnownKeys>>,
}

impl SignedCalls {
    /// Allows so many calls a second to each endpoint, and to each source as many that nobody
    /// is found to have signed.
    pub fn new(per_second: u32) -> Self {
        Self::keeping(per_second, MAX_KEPT)
    }

    fn keeping(per_second: u32, kept: usize) -> Self {
        let rate = Quota::per_second(NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN));
        Self {
            by_endpoint: DefaultKeyedRateLimiter::keyed(rate),
            by_source: DefaultKeyedRateLimiter::keyed(rate),
            refused: Mutex::default(),
            known: Mutex::new(LruCache::new(kept)),
        }
    }

    /// Lets a call in before anything is looked up: it is signed by a key that this replica
    /// knows, as `signed` finds out, or its source has not sent too much that nobody signed.
    /// Returns whether it is signed by such a key.
    ///
    /// # Errors
    /// 429 `rate-limited`.
    pub fn admit(
        &self,
        source: Source,
        by: Signatory,
        signed: impl FnOnce(&KnownKeys) -> bool,
    ) -> ApiResult<bool> {
        let known = self.known.lock().peek(&by).cloned();
        if known.is_some_and(|known| signed(&known)) {
            return Ok(true);
        }
        let until = self.refused.lock().get(&source).copied();
        match until.is_some_and(|until| until > Instant::now()) {
            true => Err(too_many()),
            false => Ok(false),
        }
    }

    /// Counts a call that one of these recorded keys of the endpoint has signed.
    ///
    /// # Errors
    /// 429 `rate-limited` if the endpoint calls too often.
    pub fn verified(&self, by: Signatory, keys: KnownKeys) -> ApiResult<()> {
        let mut known = self.known.lock();
        // With one more than are kept, the one that was silent for longest is forgotten.
        let mut entry = known.remove(&by).unwrap_or_default();
        entry.long_term = keys.long_term.or(entry.long_term);
        if keys.start.is_some() {
            entry.start = keys.start;
        }
        known.insert(by, entry);
        drop(known);
        if self.by_endpoint.len() > MAX_KEPT {
            self.by_endpoint.retain_recent();
        }
        match self.by_endpoint.check_key(&by) {
            Ok(()) => Ok(()),
            Err(_) => Err(too_many()),
        }
    }

    /// Makes an endpoint's keys known, if its own are not, and there is a place for one more.
    /// Returns whether there was.
    pub fn learn(&self, by: Signatory, keys: KnownKeys) -> bool {
        let mut known = self.known.lock();
        // What was heard is newer than what was read.
        if known.peek(&by).is_some() {
            return true;
        }
        let has_place = known.len() < known.capacity();
        if has_place {
            known.insert(by, keys);
        }
        has_place
    }

    /// Counts a call that no endpoint is found to have signed.
    pub fn unverified(&self, source: Source) {
        if self.by_source.len() >= MAX_KEPT {
            self.by_source.retain_recent();
        }
        if self.by_source.check_key(&source).is_ok() {
            return;
        }
        let now = Instant::now();
        let mut refused = self.refused.lock();
        if refused.len() >= MAX_KEPT {
            refused.retain(|_, until| *until > now);
        }
        refused.insert(source, now + REFUSED_FOR);
    }
}

fn too_many() -> ApiError {
    ApiError::new(ProblemType::RateLimited, "too many requests; wait a second")
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::{extract::ConnectInfo, http::Extensions};
    use ed25519_dalek::SigningKey;

    use super::*;

    fn source(address: &str) -> Source {
        let mut extensions = Extensions::new();
        let peer: SocketAddr = address.parse().unwrap();
        extensions.insert(ConnectInfo(peer));
        Source::of(&extensions)
    }

    fn endpoint(n: u128) -> Signatory {
        Signatory {
            tenant: Uuid::nil(),
            endpoint: Uuid::from_u128(n),
        }
    }

    fn key(seed: u8) -> KnownKeys {
        KnownKeys {
            long_term: Some(SigningKey::from_bytes(&[seed; 32]).verifying_key()),
            start: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_signed_refuses_its_source_but_no_endpoint_there_that_is_known() {
        let calls = SignedCalls::new(1);
        let (ingress, other) = (source("192.0.2.1:1000"), source("192.0.2.2:1000"));
        calls.verified(endpoint(1), key(1)).unwrap();
        let is = |seed| move |known: &KnownKeys| known.long_term == key(seed).long_term;
        for _ in 0..100 {
            calls.unverified(ingress);
        }
        assert!(calls.admit(ingress, endpoint(1), is(1)).is_ok());
        // In its name, with another key; or an endpoint that was not heard yet.
        assert!(calls.admit(ingress, endpoint(1), is(2)).is_err());
        assert!(calls.admit(ingress, endpoint(2), is(2)).is_err());
        assert!(calls.admit(other, endpoint(2), is(2)).is_ok());
        tokio::time::advance(REFUSED_FOR).await;
        assert!(calls.admit(ingress, endpoint(2), is(2)).is_ok());
    }

    #[test]
    fn one_more_endpoint_than_are_kept_is_known_in_the_place_of_one_and_not_of_all() {
        let calls = SignedCalls::keeping(1000, 3);
        for n in [1, 2, 3, 1, 4] {
            calls.verified(endpoint(n), key(1)).unwrap();
        }
        let anybody = source("192.0.2.1:1000");
        for _ in 0..2000 {
            calls.unverified(anybody);
        }
        let known = (1..5).map(|n| calls.admit(anybody, endpoint(n), |_| true).is_ok());
        assert_eq!(known.collect::<Vec<_>>(), [true, false, true, true]);
    }

    #[test]
    fn what_is_read_takes_the_place_of_nothing_that_was_heard() {
        let calls = SignedCalls::keeping(1000, 2);
        calls.verified(endpoint(1), key(1)).unwrap();
        let read = [(1, 7), (2, 7), (3, 7)].map(|(n, seed)| calls.learn(endpoint(n), key(seed)));
        assert_eq!(read, [true, true, false]);
        let anybody = source("192.0.2.1:1000");
        for _ in 0..2000 {
            calls.unverified(anybody);
        }
        let known = [(1, 1), (1, 7), (2, 7), (3, 7)].map(|(n, seed)| {
            let is = |known: &KnownKeys| known.long_term == key(seed).long_term;
            calls.admit(anybody, endpoint(n), is).is_ok()
        });
        assert_eq!(known, [true, false, true, false]);
    }

    #[test]
    fn an_endpoint_has_its_own_rate_wherever_it_calls_from() {
        let calls = SignedCalls::new(1);
        calls.verified(endpoint(1), key(1)).unwrap();
        let refused = (0..100).any(|_| calls.verified(endpoint(1), key(1)).is_err());
        assert!(refused);
        calls.verified(endpoint(2), key(2)).unwrap();
    }
}
