//! What it takes to know who is calling.

use std::sync::Arc;

use armour_storage::Store;
use chrono::{DateTime, Duration, Utc};
use url::Url;

use super::{
    accepted::Accepted, denial::DenialLog, proof_consumer::ProofConsumer,
    signed_calls::SignedCalls, signing::SigningKeys,
};
use crate::{http::rate_limit::Rates, platform::group_commit::GroupCommit};

/// What it takes to know who is calling.
pub struct Authn {
    /// The database.
    pub store: Store,
    /// The SHA-256 of the platform administrator's token.
    pub platform_hash: [u8; 32],
    /// How long a session may be idle.
    pub session_idle: Duration,
    /// Where the service is reached, as far as that was given.
    pub addresses: Vec<Url>,
    /// Credentials that were accepted lately.
    pub accepted: Accepted,
    /// What this replica has leased of tenants' rates.
    pub rates: Rates,
    /// Limits calls that show no token but are signed.
    pub signed_calls: SignedCalls,
    /// Notes denied attempts.
    pub denials: Arc<DenialLog>,
    /// Takes proofs, once each.
    pub proofs: Arc<GroupCommit<ProofConsumer>>,
    /// The keys of access tokens.
    pub signing: SigningKeys,
}

impl Authn {
    /// The time, the same for all replicas.
    pub fn now(&self) -> DateTime<Utc> {
        self.store.now()
    }
}
