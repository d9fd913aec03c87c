//! A transaction: what it sees, and how it ends. Each aggregate adds a view of
//! itself, such as `tx.pairs()`, in its own file.

use std::{collections::BTreeSet, sync::Arc};

use armour_ambient::{Ambient, Random};
use chrono::{DateTime, Utc};
use sqlx::{Postgres, Transaction};
use uuid::Uuid;

use crate::{
    clock::DatabaseClock, error::Result, idempotency_claim::IdempotencyClaim, keyring::Keyring,
    news::News, shares::Share,
};

/// The tenant that stands for the platform itself.
pub const PLATFORM: Uuid = Uuid::nil();

/// A transaction that sees one tenant's rows, or with none the platform's.
pub struct Tx {
    pub(crate) inner: Transaction<'static, Postgres>,
    pub(crate) tenant: Uuid,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) clock: DatabaseClock,
    pub(crate) ambient: Ambient,
    pub(crate) claim: Option<IdempotencyClaim>,
    /// The master key's version that it seals under, once it has sealed something.
    pub(crate) seals_under: Option<i32>,
    /// Tenants of which events were recorded.
    pub(crate) with_events: BTreeSet<Uuid>,
    pub(crate) news: Arc<News>,
    /// Of the tenant's connections, until the transaction is over.
    pub(crate) _share: Option<Share>,
}

impl Tx {
    /// Makes the transaction's work durable.
    ///
    /// # Errors
    /// If the database refuses or does not answer; `Overtaken` if it is a call's with an
    /// `Idempotency-Key` that another call has claimed meanwhile. Nothing has happened then.
    pub async fn commit(mut self) -> Result<()> {
        if let Some(claim) = self.claim.take() {
            self.idempotency_keys().commit(&claim).await?;
        }
        self.inner.commit().await?;
        if !self.with_events.is_empty() {
            self.news.add(self.with_events);
        }
        Ok(())
    }

    /// Lets the commit return before it is on disk, for what may be lost in a crash.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn allow_asynchronous_commit(&mut self) -> Result<()> {
        sqlx::query!("SET LOCAL synchronous_commit = off")
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// Undoes the transaction's work and lets go of its locks.
    ///
    /// # Errors
    /// If the database does not answer; then it is undone all the same.
    pub async fn rollback(self) -> Result<()> {
        Ok(self.inner.rollback().await?)
    }

    /// Binds a transaction of the platform's to a tenant instead.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn bind(&mut self, tenant: Uuid) -> Result<()> {
        sqlx::query!(
            "SELECT set_config('armour.tenant', $1, true)",
            tenant.to_string()
        )
        .fetch_one(&mut *self.inner)
        .await?;
        self.tenant = tenant;
        Ok(())
    }

    /// The time, the same for all replicas.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// An id that sorts after those made before it.
    pub fn new_id(&self) -> Uuid {
        self.ambient.id()
    }

    /// Random bytes.
    pub fn random(&self) -> &Random {
        &self.ambient.random
    }

    /// The tenant the transaction is bound to.
    pub fn tenant_id(&self) -> Uuid {
        self.tenant
    }
}
