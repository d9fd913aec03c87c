//! The numbers of endpoints' draws, one count for each endpoint and pair.

use armour_api::PairDraws;
use uuid::Uuid;

use crate::{
    decode::{to_i64, to_u64},
    error::Result,
    tx::Tx,
};

impl Tx {
    /// How often the tenant's endpoints have drawn.
    pub fn pair_draws(&mut self) -> PairDrawNumbers<'_> {
        PairDrawNumbers(self)
    }
}

/// How often the tenant's endpoints have drawn.
pub struct PairDrawNumbers<'a>(&'a mut Tx);

impl PairDrawNumbers<'_> {
    /// Advances an endpoint's count of a pair's draws to this number; `false` if it is there
    /// or further already.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn advance(&mut self, endpoint: Uuid, pair: Uuid, number: u64) -> Result<bool> {
        let Ok(number) = to_i64(number) else {
            return Ok(false);
        };
        let done = sqlx::query!(
            "INSERT INTO pair_draws AS p (tenant_id, endpoint_id, pair_id, draws)
             SELECT $1, $2, $3, $4::bigint WHERE $4::bigint > 0
             ON CONFLICT (tenant_id, endpoint_id, pair_id)
             DO UPDATE SET draws = $4::bigint WHERE p.draws < $4::bigint",
            self.0.tenant,
            endpoint,
            pair,
            number
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// The numbers of an endpoint's latest draws of these pairs.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn list(&mut self, endpoint: Uuid, pairs: &[Uuid]) -> Result<Vec<PairDraws>> {
        let rows = sqlx::query!(
            "SELECT pair_id, draws FROM pair_draws
             WHERE tenant_id = $1 AND endpoint_id = $2 AND pair_id = ANY($3)
             ORDER BY pair_id",
            self.0.tenant,
            endpoint,
            pairs
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(PairDraws {
                    pair_id: row.pair_id,
                    draws: to_u64(row.draws)?,
                })
            })
            .collect()
    }
}
