//! The streams of events that this replica has open, and how many may be: each takes memory and
//! a connection for as long as its reader likes.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use armour_api::ProblemType;
use parking_lot::Mutex;
use uuid::Uuid;

use crate::{
    http::problem::{ApiError, ApiResult},
    platform::instruments::METRICS,
};

/// Streams of one credential: a person's tabs, a program's retries. An endpoint follows one.
const OF_A_CREDENTIAL: usize = 256;
/// Streams of a tenant's people and API tokens. Its endpoints' are bounded by their number.
const OF_A_TENANTS_MEMBERS: usize = 1000;
/// Seconds after which to try again.
const TRY_AGAIN: u32 = 30;

/// Who reads a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Credential {
    /// An API token or a session.
    Member(Uuid),
    /// An endpoint.
    Endpoint(Uuid),
}

/// The streams that are open.
pub struct OpenStreams {
    limit: usize,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    all: usize,
    of_members: HashMap<Uuid, usize>,
    of_credentials: HashMap<(Uuid, Credential), usize>,
}

impl OpenStreams {
    /// None yet, and no more than so many.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            counts: Mutex::default(),
        })
    }

    /// Counts one more, until what is returned is dropped.
    ///
    /// # Errors
    /// 429 `too-many-streams` if there are as many as may be of the credential, of its tenant
    /// or of this replica.
    pub fn open(self: &Arc<Self>, tenant: Uuid, credential: Credential) -> ApiResult<OpenStream> {
        let mut counts = self.counts.lock();
        let too_many = |of: &str, limit: usize| {
            ApiError::new(
                ProblemType::TooManyStreams,
                format!("{of} has {limit} event streams open; close one, or try again later"),
            )
            .with_retry_after(TRY_AGAIN)
        };
        if counts.all >= self.limit {
            return Err(too_many("this replica", self.limit));
        }
        let of_credential = counts.of_credentials.get(&(tenant, credential));
        if of_credential.is_some_and(|count| *count >= OF_A_CREDENTIAL) {
            return Err(too_many("this credential", OF_A_CREDENTIAL));
        }
        if let Credential::Member(_) = credential {
            let of_members = counts.of_members.entry(tenant).or_default();
            if *of_members >= OF_A_TENANTS_MEMBERS {
                return Err(too_many("the tenant", OF_A_TENANTS_MEMBERS));
            }
            *of_members += 1;
        }
        counts.all += 1;
        *counts
            .of_credentials
            .entry((tenant, credential))
            .or_default() += 1;
        METRICS.streams.add(1, &[]);
        Ok(OpenStream {
            all: self.clone(),
            tenant,
            credential,
        })
    }
}

/// A stream that is open.
pub struct OpenStream {
    all: Arc<OpenStreams>,
    tenant: Uuid,
    credential: Credential,
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut counts = self.all.counts.lock();
        counts.all -= 1;
        less(&mut counts.of_credentials, (self.tenant, self.credential));
        if let Credential::Member(_) = self.credential {
            less(&mut counts.of_members, self.tenant);
        }
        METRICS.streams.add(-1, &[]);
    }
}

/// One less of these; nothing is kept of none.
fn less<K: Hash + Eq>(counts: &mut HashMap<K, usize>, of: K) {
    if let Some(count) = counts.get_mut(&of) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&of);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open_all(
        streams: &Arc<OpenStreams>,
        tenant: u128,
        credential: impl Fn(u128) -> Credential,
    ) -> (Vec<OpenStream>, ApiError) {
        let mut open = Vec::new();
        for n in 0.. {
            match streams.open(Uuid::from_u128(tenant), credential(n)) {
                Ok(stream) => open.push(stream),
                Err(error) => return (open, error),
            }
        }
        unreachable!("no end to numbers")
    }

    #[test]
    fn m3_a_credential_a_tenant_and_a_replica_have_no_more_streams_than_they_may() {
        let streams = OpenStreams::new(2000);
        let one = Credential::Member(Uuid::nil());
        let (of_one, error) = open_all(&streams, 1, |_| one);
        assert_eq!(error.kind(), ProblemType::TooManyStreams);
        assert_eq!(of_one.len(), OF_A_CREDENTIAL);
        let of_its_own = |n| Credential::Member(Uuid::from_u128(n + 1));
        let (of_others, _) = open_all(&streams, 1, of_its_own);
        assert_eq!(of_one.len() + of_others.len(), OF_A_TENANTS_MEMBERS);
        // Another tenant's are not refused, nor the tenant's endpoints.
        let tenant = Uuid::from_u128(1);
        assert!(streams.open(tenant, Credential::Endpoint(tenant)).is_ok());
        let (of_endpoints, _) = open_all(&streams, 2, |n| Credential::Endpoint(Uuid::from_u128(n)));
        assert_eq!(of_endpoints.len(), 1000);
        drop((of_one, of_others, of_endpoints));
        let counts = streams.counts.lock();
        assert_eq!(counts.all, 0);
        assert!(counts.of_members.is_empty() && counts.of_credentials.is_empty());
    }
}
