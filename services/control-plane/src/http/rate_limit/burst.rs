//! Each replica's own limit, which holds off floods before anything is looked up.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use armour_api::{Problem, ProblemType};
use axum::{
    extract::{Request, State},
    http::{StatusCode, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use governor::Quota;
use tokio::sync::Semaphore;

use super::{body::Known, keyed::KeyedLimit, slot::RateLimitSlot, source::Source};
use crate::http::problem::ApiError;

/// Signed calls without any credentials. Who signed them is known once they are read: they are
/// limited by that, each where it is handled.
const SIGNED: [&str; 4] = [
    "/v1/endpoint/links",
    "/v1/endpoint/presence",
    "/v1/endpoint/starts",
    "/v1/endpoint/token",
];
/// Probes: whoever floods must not have the replica restarted, nor taken out of service.
const PROBES: [&str; 2] = ["/v1/health", "/v1/health/ready"];
/// For how long a refusal is held back.
const HELD_FOR: Duration = Duration::from_millis(250);
/// How many calls a second of one source may go without right credentials before their refusals
/// are held back: enough for a fleet's agents that learn a nonce.
const UNKNOWN_PER_SECOND: u32 = 50;
/// Most refusals that are held back at once.
const MAX_HELD: usize = 4096;

/// Says who calls, before anything is looked up.
pub trait Callers: Clone + Send + Sync + 'static {
    /// The caller, if its credentials are found to be right without the database, or were
    /// found to be so lately.
    fn identify(&self, parts: &Parts) -> Option<[u8; 32]>;
}

/// Counts requests by who calls if that is known, or else by where they come from, whatever
/// credentials they show: those cost nothing to make up.
pub struct BurstLimiter {
    by_caller: KeyedLimit<[u8; 32]>,
    by_source: KeyedLimit<Source>,
    /// Answers that say who calls is not known, after which a source waits for each.
    unknown: KeyedLimit<Source>,
    /// Places for refusals that are held back.
    held: Semaphore,
}

impl BurstLimiter {
    /// Allows so many requests a second to each caller, and to each source as many of those
    /// whose callers are not known.
    pub fn new(per_second: u32) -> Self {
        Self {
            by_caller: KeyedLimit::new(quota(per_second)),
            by_source: KeyedLimit::new(quota(per_second)),
            unknown: KeyedLimit::new(quota(UNKNOWN_PER_SECOND)),
            held: Semaphore::new(MAX_HELD),
        }
    }

    /// Whether an answer is one of many to a source that shows no right credentials.
    fn guesses(&self, unknown: Option<Source>, status: StatusCode) -> bool {
        status == StatusCode::UNAUTHORIZED
            && unknown.is_some_and(|source| !self.unknown.is_within(&source))
    }

    /// Holds a refusal back for a moment, unless too many are held: whoever does not wait before
    /// they call again waits for this, so that to refuse them costs next to nothing.
    async fn hold(&self) {
        if let Ok(_place) = self.held.try_acquire() {
            tokio::time::sleep(HELD_FOR).await;
        }
    }
}

fn quota(per_second: u32) -> Quota {
    Quota::per_second(NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN))
}

/// Refuses a caller that floods this replica; tells others their tenant's rate.
pub async fn rate<C: Callers>(
    State((limiter, callers)): State<(Arc<BurstLimiter>, C)>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    if PROBES.contains(&path) {
        return next.run(request).await;
    }
    let counted = !SIGNED.contains(&path);
    let (mut parts, body) = request.into_parts();
    let mut unknown = None;
    if counted {
        let within = match callers.identify(&parts) {
            Some(caller) => {
                parts.extensions.insert(Known);
                limiter.by_caller.is_within(&caller)
            }
            None => {
                let source = Source::of(&parts.extensions);
                unknown = Some(source);
                limiter.by_source.is_within(&source)
            }
        };
        if !within {
            limiter.hold().await;
            let error = ApiError::new(ProblemType::RateLimited, "too many requests; wait a second");
            return error.into_response();
        }
    }
    let slot = RateLimitSlot::default();
    parts.extensions.insert(slot.clone());
    let mut response = next.run(Request::from_parts(parts, body)).await;
    if let Some(state) = slot.take() {
        state.write(&mut response);
    }
    if is_of_haste(&response) || limiter.guesses(unknown, response.status()) {
        limiter.hold().await;
    }
    response
}

/// Whether an answer refuses a call only because there are so many, so that the next one at once
/// would be refused as well.
fn is_of_haste(response: &Response) -> bool {
    let problem = response.extensions().get::<Problem>();
    response.status() == StatusCode::TOO_MANY_REQUESTS
        || problem.and_then(Problem::kind) == Some(ProblemType::DatabaseBusy.name())
}

#[cfg(test)]
mod tests {
    use armour_storage::StorageError;
    use axum::http::Extensions;
    use futures::FutureExt as _;

    use tokio::time::Instant;

    use super::*;

    #[test]
    fn m5_a_tenant_with_too_many_calls_at_once_does_not_come_again_at_once() {
        let answer = |error: StorageError| ApiError::from(error).into_response();
        assert!(is_of_haste(&answer(StorageError::TenantBusy)));
        assert!(!is_of_haste(&answer(StorageError::NotFound)));
    }

    #[test]
    fn h3_who_guesses_credentials_waits_for_each_refusal_and_who_errs_does_not() {
        let limiter = BurstLimiter::new(1);
        let (from, wrong) = (Source::of(&Extensions::new()), StatusCode::UNAUTHORIZED);
        for _ in 0..UNKNOWN_PER_SECOND {
            assert!(!limiter.guesses(Some(from), wrong));
        }
        assert!(limiter.guesses(Some(from), wrong));
        assert!(!limiter.guesses(Some(from), StatusCode::OK));
        assert!(!limiter.guesses(None, wrong), "it is known who calls");
    }

    #[tokio::test(start_paused = true)]
    async fn h3_who_does_not_wait_after_a_refusal_waits_for_it_and_few_are_held() {
        let limiter = BurstLimiter::new(1);
        let since = Instant::now();
        limiter.hold().await;
        assert_eq!(since.elapsed(), HELD_FOR);
        let mut held: Vec<_> = (0..MAX_HELD).map(|_| Box::pin(limiter.hold())).collect();
        for refusal in &mut held {
            assert!(refusal.now_or_never().is_none());
        }
        // What nobody has a place for is said at once.
        assert!(limiter.hold().now_or_never().is_some());
        drop(held);
        assert!(limiter.hold().now_or_never().is_none());
    }
}
