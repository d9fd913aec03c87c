//! Which replica does what only one of them needs to do.

use crate::{error::Result, tx::Tx};

impl Tx {
    /// Leases on the platform's jobs.
    pub fn job_leases(&mut self) -> JobLeases<'_> {
        JobLeases(self)
    }
}

/// Leases on the platform's jobs.
pub struct JobLeases<'a>(&'a mut Tx);

impl JobLeases<'_> {
    /// Leases a job to this replica, as the platform; false if another has it. The
    /// lease ends after `seconds`, whether that replica lives or not.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn acquire(&mut self, name: &str, seconds: f64) -> Result<bool> {
        let leased = sqlx::query_scalar!(
            "INSERT INTO turns (name, until) VALUES ($1, now() + make_interval(secs => $2))
             ON CONFLICT (name) DO UPDATE SET until = excluded.until WHERE turns.until <= now()
             RETURNING name",
            name,
            seconds
        )
        .fetch_optional(&mut *self.0.inner)
        .await?;
        Ok(leased.is_some())
    }
}
