//! Proofs that were used.

use std::sync::Arc;

use armour_storage::{Standing, Store, Urgency};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{http::problem::ApiResult, platform::group_commit::BatchOperation};

/// Takes proofs in transactions of their own: also what fails afterwards has used them.
pub struct ProofConsumer(pub Store);

/// A proof to be taken.
pub struct ProofUse {
    /// What to remember.
    pub hash: [u8; 32],
    /// Until when.
    pub until: DateTime<Utc>,
    /// The endpoint that an access token names; none if there is no token.
    pub endpoint: Option<Uuid>,
}

/// What became of a proof.
pub struct ProofTaken {
    /// Whether it was not used before.
    pub first: bool,
    /// What the endpoint is that was asked about, if it exists.
    pub standing: Option<Standing>,
}

impl BatchOperation for ProofConsumer {
    type Request = ProofUse;
    type Answer = ProofTaken;

    async fn run(&self, tenant: Uuid, uses: &[Arc<ProofUse>]) -> ApiResult<Vec<ProofTaken>> {
        let proofs: Vec<_> = uses
            .iter()
            .map(|proof| (proof.hash.to_vec(), proof.until))
            .collect();
        let endpoints: Vec<Uuid> = uses.iter().filter_map(|proof| proof.endpoint).collect();
        let mut tx = self.0.tenant_for(tenant, Urgency::Life).await?;
        let first = tx.proofs().consume_many(&proofs).await?;
        let standings = match endpoints.is_empty() {
            true => Default::default(),
            false => tx.starts().standings(&endpoints).await?,
        };
        tx.commit().await?;
        let taken = first.into_iter().zip(uses);
        Ok(taken
            .map(|(first, proof)| ProofTaken {
                first,
                standing: proof
                    .endpoint
                    .and_then(|endpoint| standings.get(&endpoint).cloned()),
            })
            .collect())
    }
}
