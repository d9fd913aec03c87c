//! Announcing tenants that have new events, once their transactions are over: PostgreSQL has the
//! commits of all transactions of a server that notify wait for each other. What is committed and
//! not announced, because the process ended in between, is found by those who look now and then.

use std::{collections::BTreeSet, mem, sync::Arc};

use parking_lot::Mutex;
use sqlx::{Connection as _, PgConnection};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::{error::Result, events::EVENTS_CHANNEL, store::Store};

/// Tenants of which this process has committed events that are not announced yet.
#[derive(Default)]
pub(crate) struct News {
    tenants: Mutex<BTreeSet<Uuid>>,
    some: Notify,
}

impl News {
    /// These tenants have new events.
    pub(crate) fn add(&self, tenants: impl IntoIterator<Item = Uuid>) {
        self.tenants.lock().extend(tenants);
        self.some.notify_one();
    }
}

/// Announces tenants with new events to all replicas, on a connection of its own.
pub struct Announcer {
    news: Arc<News>,
    connection: PgConnection,
}

impl Store {
    /// Connects to announce what this process commits.
    ///
    /// # Errors
    /// If no connection is to be had.
    pub async fn announcer(&self) -> Result<Announcer> {
        Ok(Announcer {
            news: self.news.clone(),
            connection: self.direct.connect("armour announcements").await?,
        })
    }
}

impl Announcer {
    /// Waits until a tenant has new events.
    pub async fn wait(&self) {
        // Whoever added some before left a permit, unless another one has taken both.
        while self.news.tenants.lock().is_empty() {
            self.news.some.notified().await;
        }
    }

    /// Announces the tenants that have new events, all at once, each however many there are. What
    /// is not announced for an error is the next time.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn announce(&mut self) -> Result<()> {
        let tenants = mem::take(&mut *self.news.tenants.lock());
        if tenants.is_empty() {
            return Ok(());
        }
        let texts: Vec<String> = tenants.iter().map(Uuid::to_string).collect();
        let done = sqlx::query!(
            "SELECT pg_notify($1, tenant) FROM unnest($2::text[]) AS news(tenant)",
            EVENTS_CHANNEL,
            &texts
        )
        .fetch_all(&mut self.connection)
        .await;
        if done.is_err() {
            self.news.add(tenants);
        }
        done?;
        Ok(())
    }

    /// Ends the connection.
    pub async fn close(self) {
        // It ends with the process if not by itself.
        let _ended = self.connection.close().await;
    }
}
