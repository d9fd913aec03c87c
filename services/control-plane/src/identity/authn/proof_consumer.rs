//! Proofs that were used.

use std::sync::Arc;

use armour_storage::Store;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{http::problem::ApiResult, platform::group_commit::BatchOperation};

/// Takes proofs in transactions of their own: also what fails afterwards has used them.
pub struct ProofConsumer(pub Store);

impl BatchOperation for ProofConsumer {
    type Request = (Vec<u8>, DateTime<Utc>);
    type Answer = bool;

    async fn run(&self, tenant: Uuid, proofs: &[Arc<Self::Request>]) -> ApiResult<Vec<bool>> {
        let proofs: Vec<Self::Request> = proofs.iter().map(|proof| (**proof).clone()).collect();
        let mut tx = self.0.tenant(tenant).await?;
        let first = tx.proofs().consume_many(&proofs).await?;
        tx.commit().await?;
        Ok(first)
    }
}
