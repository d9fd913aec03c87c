//! Collisions and their evidence.

use armour_api::{Collision, CollisionKind, Page};
use base64::{Engine, engine::general_purpose::STANDARD};
use uuid::Uuid;

use crate::{
    decode::{corrupt, word},
    error::{Result, StorageError},
    page::{PAGE, page},
    tx::Tx,
};

/// A collision to be recorded.
#[derive(Debug)]
pub struct NewCollision<'a> {
    /// Its id.
    pub id: Uuid,
    /// The pair concerned.
    pub pair: Uuid,
    /// The bundle concerned.
    pub bundle: Uuid,
    /// Its kind.
    pub kind: CollisionKind,
    /// The lane where it was found.
    pub lane: u32,
    /// The number of the ticket.
    pub n: u64,
    /// The signed ticket that is recorded.
    pub recorded: Option<&'a [u8]>,
    /// The signed ticket that was reported.
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
    /// Records a collision. Returns whether it is the bundle's first.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn record(&mut self, new: &NewCollision<'_>) -> Result<bool> {
        let done = sqlx::query!(
            "INSERT INTO collisions (tenant_id, collision_id, pair_id, bundle_id, kind, lane, n,
                                     recorded, reported, reporter_id)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             ON CONFLICT (tenant_id, bundle_id) DO NOTHING",
            self.0.tenant,
            new.id,
            new.pair,
            new.bundle,
            new.kind.into_str(),
            i64::from(new.lane),
            i64::try_from(new.n).unwrap_or(i64::MAX),
            new.recorded,
            new.reported,
            new.reporter
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
            "SELECT * FROM collisions WHERE tenant_id = $1
               AND ($2::uuid IS NULL OR collision_id < $2)
               AND ($3::uuid IS NULL OR collision_id = $3) ORDER BY collision_id DESC LIMIT $4",
            self.0.tenant,
            before,
            id,
            PAGE + 1
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        let number = |value: i64| u64::try_from(value).map_err(corrupt);
        rows.into_iter()
            .map(|row| {
                Ok(Collision {
                    id: row.collision_id,
                    pair_id: row.pair_id,
                    bundle_id: row.bundle_id,
                    kind: word(&row.kind)?,
                    lane: u32::try_from(row.lane).map_err(corrupt)?,
                    n: number(row.n)?,
                    recorded: row.recorded.map(|bytes| STANDARD.encode(bytes)),
                    reported: row.reported.map(|bytes| STANDARD.encode(bytes)),
                    reporter_id: row.reporter_id,
                    detected_at: row.detected_at,
                })
            })
            .collect()
    }
}
