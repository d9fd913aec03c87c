//! How far the lanes of retired bundles came, by the word of the side that retired them.

use std::collections::HashMap;

use armour_api::Role;
use armour_protocol::v2::enclave::LaneMark;
use uuid::Uuid;

use crate::{
    decode::{fixed, to_i64, to_u64, word},
    error::Result,
    lane_ids::{LaneId, columns, lane_id},
    tx::Tx,
};

/// The last exchange of a retired bundle's lane and H of its ticket's body or, on the
/// producer's side, of its receipt's; by bundle, side and lane.
pub type RetirementMarks = HashMap<(Uuid, Role, u16), (u64, [u8; 32])>;

impl Tx {
    /// How far the lanes of the tenant's retired bundles came.
    pub fn bundle_retirements(&mut self) -> BundleRetirements<'_> {
        BundleRetirements(self)
    }
}

/// How far the lanes of the tenant's retired bundles came.
pub struct BundleRetirements<'a>(&'a mut Tx);

impl BundleRetirements<'_> {
    /// Records a side's word; its first one stays.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn record(&mut self, bundle: Uuid, side: Role, lanes: &[LaneMark]) -> Result<()> {
        let numbers: Vec<i32> = lanes.iter().map(|mark| mark.lane.into()).collect();
        let ns = lanes.iter().map(|mark| to_i64(mark.n));
        let ns = ns.collect::<Result<Vec<i64>>>()?;
        let hashes: Vec<Vec<u8>> = lanes.iter().map(|mark| mark.hash.0.to_vec()).collect();
        sqlx::query!(
            "INSERT INTO bundle_retirements (tenant_id, bundle_id, side, lane, n, hash)
             SELECT $1, $2, $3, lane, n, hash
             FROM unnest($4::integer[], $5::bigint[], $6::bytea[]) AS m(lane, n, hash)
             ON CONFLICT DO NOTHING",
            self.0.tenant,
            bundle,
            side.into_str(),
            &numbers,
            &ns,
            &hashes
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// What the sides said of these lanes.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn find_many(&mut self, lanes: &[LaneId]) -> Result<RetirementMarks> {
        let (bundles, numbers) = columns(lanes);
        let rows = sqlx::query!(
            r#"SELECT i.bundle AS "bundle!", i.lane AS "lane!", side AS "side!", n AS "n!",
                      hash AS "hash!"
             FROM unnest($2::uuid[], $3::integer[]) AS i(bundle, lane)
             CROSS JOIN unnest(ARRAY['consumer', 'producer']) AS s(of_side)
             JOIN bundle_retirements r ON r.tenant_id = $1 AND r.bundle_id = i.bundle
               AND r.side = s.of_side AND r.lane = i.lane"#,
            self.0.tenant,
            &bundles,
            &numbers
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        rows.into_iter()
            .map(|row| {
                let (bundle, lane) = lane_id(row.bundle, row.lane)?;
                let mark = (to_u64(row.n)?, fixed(row.hash)?);
                Ok(((bundle, word(&row.side)?, lane), mark))
            })
            .collect()
    }
}
