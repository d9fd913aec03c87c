//! Collisions and their evidence.

use armour_api::{Collision, CollisionKind, Page, Role};
use armour_protocol::v2::identity::start::StartHash;
use base64::{Engine, engine::general_purpose::STANDARD};
use uuid::Uuid;

use crate::{
    decode::{corrupt, to_u64, word},
    error::{Result, StorageError},
    page::{PAGE, page},
    tx::Tx,
};

/// A collision to be recorded.
#[derive(Debug)]
pub struct NewCollision<'a> {
    /// Its id.
    pub id: Uuid,
    /// The endpoint whose state was copied.
    pub endpoint: Uuid,
    /// Its side.
    pub role: Role,
    /// The start that signed it.
    pub start: StartHash,
    /// Its kind.
    pub kind: CollisionKind,
    /// Pair, bundle and lane where it was found, for those of tickets and receipts.
    pub place: Option<(Uuid, Uuid, u16)>,
    /// The exchange or, for links and starts, the number of the link or start.
    pub n: u64,
    /// The sub-ticket of the exchange, for those of a line.
    pub k: Option<u32>,
    /// What is recorded, with its proof.
    pub recorded: Option<&'a [u8]>,
    /// What contradicts it.
    pub reported: Option<&'a [u8]>,
    /// The endpoint that reported it.
    pub reporter: Uuid,
}

impl Tx {
    /// The tenant's collisions.
    pub fn collisions(&mut self) -> Collisions<'_> {
        Collisions(self)
    }
}

/// The tenant's collisions.
pub struct Collisions<'a>(&'a mut Tx);

impl Collisions<'_> {
    /// Records a collision. Returns whether it is the endpoint's first.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn record(&mut self, new: &NewCollision<'_>) -> Result<bool> {
        let done = sqlx::query!(
            "INSERT INTO collisions (tenant_id, collision_id, endpoint_id, role, start_hash, kind,
                                     pair_id, bundle_id, lane, n, recorded, reported, reporter_id,
                                     k)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
             ON CONFLICT (tenant_id, endpoint_id) DO NOTHING",
            self.0.tenant,
            new.id,
            new.endpoint,
            new.role.into_str(),
            &new.start.0[..],
            new.kind.into_str(),
            new.place.map(|(pair, _, _)| pair),
            new.place.map(|(_, bundle, _)| bundle),
            new.place.map(|(_, _, lane)| i32::from(lane)),
            i64::try_from(new.n).unwrap_or(i64::MAX),
            new.recorded,
            new.reported,
            new.reporter,
            new.k.map(i64::from)
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// One collision.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn find(&mut self, id: Uuid) -> Result<Collision> {
        let mut found = self.rows(None, Some(id)).await?;
        found.pop().ok_or(StorageError::NotFound)
    }

    /// Collisions, latest first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn list(&mut self, before: Option<Uuid>) -> Result<Page<Collision>> {
        let rows = self.rows(before, None).await?;
        Ok(page(rows, |collision| collision.id.to_string()))
    }

    async fn rows(&mut self, before: Option<Uuid>, id: Option<Uuid>) -> Result<Vec<Collision>> {
        let rows = sqlx::query!(
            r#"SELECT c.*, s.host AS "host?", s.process AS "process?",
                      s.accepted_at AS "started_at?"
               FROM collisions c LEFT JOIN endpoint_starts s
                 ON s.tenant_id = $1 AND s.endpoint_id = c.endpoint_id AND s.hash = c.start_hash
               WHERE c.tenant_id = $1
                 AND ($2::uuid IS NULL OR collision_id < $2)
                 AND ($3::uuid IS NULL OR collision_id = $3)
               ORDER BY collision_id DESC LIMIT $4"#,
            self.0.tenant,
            before,
            id,
            PAGE + 1
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        rows.into_iter()
            .map(|row| {
                let process = row.process.map(u32::try_from).transpose();
                let lane = row.lane.map(u32::try_from).transpose();
                let k = row.k.map(u32::try_from).transpose();
                Ok(Collision {
                    id: row.collision_id,
                    endpoint_id: row.endpoint_id,
                    role: word(&row.role)?,
                    kind: word(&row.kind)?,
                    start: hex::encode(row.start_hash),
                    host: row.host,
                    process: process.map_err(corrupt)?,
                    started_at: row.started_at,
                    pair_id: row.pair_id,
                    bundle_id: row.bundle_id,
                    lane: lane.map_err(corrupt)?,
                    n: to_u64(row.n)?,
                    k: k.map_err(corrupt)?,
                    recorded: row.recorded.map(|bytes| STANDARD.encode(bytes)),
                    reported: row.reported.map(|bytes| STANDARD.encode(bytes)),
                    reporter_id: row.reporter_id,
                    detected_at: row.detected_at,
                })
            })
            .collect()
    }
}
