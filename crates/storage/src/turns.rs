//! Which replica does what only one of them needs to do.

use crate::{Result, Tx};

impl Tx {
    /// Takes the turn for some work, as the platform; false if another replica has it.
    /// It is over after `seconds`, whether that replica lives or not.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn take_turn(&mut self, name: &str, seconds: f64) -> Result<bool> {
        let taken = sqlx::query_scalar!(
            "INSERT INTO turns (name, until) VALUES ($1, now() + make_interval(secs => $2))
             ON CONFLICT (name) DO UPDATE SET until = excluded.until WHERE turns.until <= now()
             RETURNING name",
            name,
            seconds
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        Ok(taken.is_some())
    }
}
