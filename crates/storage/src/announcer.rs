//! Announcing tenants that have new events, once their transactions are over: PostgreSQL has the
//! commits of all transactions of a server that notify wait for each other. What is committed and
//! not announced, because the process ended in between, is found by those who look now and then.

use std::{io, mem, sync::Arc, time::Duration};

use sqlx::{Connection as _, PgConnection};
use tokio::time::timeout;
use uuid::Uuid;

use crate::{
    error::{Result, StorageError},
    events::EVENTS_CHANNEL,
    news::News,
    store::Store,
};

/// A server that does not answer for so long has gone, though its connection has not.
const ANSWER: Duration = Duration::from_secs(5);

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
        let asked = sqlx::query!(
            "SELECT pg_notify($1, tenant) FROM unnest($2::text[]) AS news(tenant)",
            EVENTS_CHANNEL,
            &texts
        )
        .fetch_all(&mut self.connection);
        let done = match timeout(ANSWER, asked).await {
            Ok(done) => done.map_err(StorageError::from),
            Err(_) => Err(sqlx::Error::from(io::Error::from(io::ErrorKind::TimedOut)).into()),
        };
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
