//! A pair that is disconnected by hand, again and again.

use std::time::Instant;

use armour_cli::servers::postgres::Postgres;
use armour_client::Client;
use uuid::Uuid;

use crate::service::Endpoint;

/// While one endpoint has a bundle of the pair.
pub struct ByHand {
    pub operator: Client,
    pub endpoint: Endpoint,
    pub pair: Uuid,
}

impl ByHand {
    /// Writes so many superseded bundles of the last year behind the pair, past the API. The pair
    /// has had a bundle.
    ///
    /// # Errors
    /// If PostgreSQL refuses.
    pub async fn supersede(&self, postgres: &Postgres, count: usize) -> anyhow::Result<()> {
        let statement = format!(
            "INSERT INTO bundles (tenant_id, bundle_id, pair_id, consumer_endpoint_id,
                 producer_endpoint_id, suite, state, created_at, superseded_at, draw, policy,
                 policy_hash, context_hash, consumer_start, producer_start, consumer_key,
                 producer_key)
             SELECT tenant_id, gen_random_uuid(), pair_id, consumer_endpoint_id,
                 producer_endpoint_id, suite, 'superseded', created_at,
                 now() - interval '365 days' * (n::double precision / {count}), draw, policy,
                 policy_hash, context_hash, consumer_start, producer_start, consumer_key,
                 producer_key
             FROM (SELECT * FROM bundles WHERE pair_id = '{pair}' LIMIT 1) one,
                  generate_series(1, {count}) n;
             ANALYZE bundles",
            pair = self.pair,
        );
        postgres.sql_in("armour", &statement).await?;
        Ok(())
    }

    /// The median of so many disconnects, in milliseconds.
    ///
    /// # Errors
    /// If the control plane refuses.
    pub async fn median(&mut self, rounds: usize) -> anyhow::Result<f64> {
        let mut times = Vec::new();
        for _ in 0..rounds.max(1) {
            self.endpoint.draw(self.pair).await?;
            let since = Instant::now();
            self.operator
                .disconnect_pair(self.pair, "the benchmark")
                .await?;
            times.push(since.elapsed().as_secs_f64() * 1e3);
            self.operator.re_arm(self.pair, "the benchmark").await?;
        }
        times.sort_by(f64::total_cmp);
        Ok(times[times.len() / 2])
    }
}
