//! How far the lanes of retired bundles came, by the word of the side that retired them.
//!
//! A retirement looks once at what is recorded beyond its list, and what is recorded later is
//! judged by that list. Between the two nothing may slip through: reports hold their bundles'
//! retirements off, and a retirement waits for the reports that are under way. These locks are
//! advisory: a lock on the bundle's row would be written with each report, and one on its lanes
//! does not keep another lane from being opened.

use std::collections::{BTreeSet, HashMap};

use armour_api::Role;
use armour_protocol::v2::{body::BodyHash, enclave::LaneMark};
use uuid::Uuid;

use crate::{
    decode::{corrupt, fixed, to_i64, to_u64, word},
    error::Result,
    lane_ids::{LaneId, columns, lane_id},
    tx::Tx,
};

/// How far a retired bundle's lane came by the word of either side: its mark and, if there is
/// one, that of its last sub-ticket or sub-receipt; by bundle, side and lane.
pub type RetirementMarks = HashMap<(Uuid, Role, u16), Vec<LaneMark>>;

impl Tx {
    /// How far the lanes of the tenant's retired bundles came.
    pub fn bundle_retirements(&mut self) -> BundleRetirements<'_> {
        BundleRetirements(self)
    }
}

/// How far the lanes of the tenant's retired bundles came.
pub struct BundleRetirements<'a>(&'a mut Tx);

/// A tenant's bundles share so many locks: a call may report of more bundles than the database
/// has room for locks.
const SLOTS: u8 = 64;

impl BundleRetirements<'_> {
    /// Holds off the retirement of these bundles until the transaction ends: it waits, or has
    /// been committed. The bundles are to be read after that, and no lane, bundle or endpoint be
    /// locked before.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn hold_off(&mut self, bundles: &[Uuid]) -> Result<()> {
        sqlx::query!(
            "SELECT pg_advisory_xact_lock_shared($1, slot) FROM unnest($2::integer[]) AS slot",
            space(self.0.tenant),
            &slots(bundles)
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// Waits for the reports of these bundles that are under way, and has those to come wait
    /// until the transaction ends. It comes before the lock on the bundles.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn wait_for_reports(&mut self, bundles: &[Uuid]) -> Result<()> {
        sqlx::query!(
            "SELECT pg_advisory_xact_lock($1, slot) FROM unnest($2::integer[]) AS slot",
            space(self.0.tenant),
            &slots(bundles)
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// Records a side's word; its first one stays.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn record(&mut self, bundle: Uuid, side: Role, lanes: &[LaneMark]) -> Result<()> {
        let (mut numbers, mut ns, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
        let mut subs: Vec<(Option<i64>, Option<i64>, Option<Vec<u8>>)> = Vec::new();
        for mark in lanes {
            let (n, hash) = (to_i64(mark.n)?, mark.hash.0.to_vec());
            // The second mark of a lane comes directly behind its first.
            match subs.last_mut().filter(|_| mark.k > 0) {
                Some(sub) => *sub = (Some(n), Some(mark.k.into()), Some(hash)),
                None => {
                    numbers.push(i32::from(mark.lane));
                    ns.push(n);
                    hashes.push(hash);
                    subs.push((None, None, None));
                }
            }
        }
        let sub_ns: Vec<_> = subs.iter().map(|sub| sub.0).collect();
        let sub_ks: Vec<_> = subs.iter().map(|sub| sub.1).collect();
        let sub_hashes: Vec<_> = subs.into_iter().map(|sub| sub.2).collect();
        sqlx::query!(
            "INSERT INTO bundle_retirements (tenant_id, bundle_id, side, lane, n, hash, sub_n,
                                             sub_k, sub_hash)
             SELECT $1, $2, $3, lane, n, hash, sub_n, sub_k, sub_hash
             FROM unnest($4::integer[], $5::bigint[], $6::bytea[], $7::bigint[], $8::bigint[],
                         $9::bytea[])
                  AS m(lane, n, hash, sub_n, sub_k, sub_hash)
             ON CONFLICT DO NOTHING",
            self.0.tenant,
            bundle,
            side.into_str(),
            &numbers,
            &ns,
            &hashes,
            &sub_ns as &[Option<i64>],
            &sub_ks as &[Option<i64>],
            &sub_hashes as &[Option<Vec<u8>>]
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
                      hash AS "hash!", sub_n AS "sub_n?", sub_k AS "sub_k?",
                      sub_hash AS "sub_hash?"
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
                let mark = LaneMark {
                    lane,
                    n: to_u64(row.n)?,
                    k: 0,
                    hash: BodyHash(fixed(row.hash)?),
                };
                let mut marks = vec![mark];
                if let (Some(n), Some(k), Some(hash)) = (row.sub_n, row.sub_k, row.sub_hash) {
                    marks.push(LaneMark {
                        lane,
                        n: to_u64(n)?,
                        k: u32::try_from(k).map_err(corrupt)?,
                        hash: BodyHash(fixed(hash)?),
                    });
                }
                Ok(((bundle, word(&row.side)?, lane), marks))
            })
            .collect()
    }
}

/// The tenant's part of what names a lock. Tenants that share one wait for each other sometimes,
/// and no more.
fn space(tenant: Uuid) -> i32 {
    let [.., a, b, c, d] = tenant.into_bytes();
    i32::from_be_bytes([a, b, c, d])
}

/// The locks of these bundles, in order: so two transactions never wait for each other.
fn slots(bundles: &[Uuid]) -> Vec<i32> {
    let slots = bundles.iter().map(|bundle| {
        let [.., last] = bundle.into_bytes();
        i32::from(last % SLOTS)
    });
    let slots: BTreeSet<i32> = slots.collect();
    slots.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_bundles_have_few_locks_in_one_order() {
        let bundles: Vec<Uuid> = (0..100_000).rev().map(Uuid::from_u128).collect();
        let all = slots(&bundles);
        assert_eq!(all, (0..i32::from(SLOTS)).collect::<Vec<_>>());
        assert_eq!(slots(&bundles[..1]), [(99_999 % 256) % i32::from(SLOTS)]);
        assert!(slots(&[]).is_empty());
    }
}
