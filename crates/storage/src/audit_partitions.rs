//! The audit log's partitions, a month each.

use chrono::{DateTime, Duration, NaiveDate, Utc};

use crate::{error::Result, store::Store};

impl Store {
    /// Makes the audit log's partitions of the month of `today` and the two after
    /// it, and drops those that end before `retain_from`.
    ///
    /// # Errors
    /// If the role may not, or the database refuses.
    pub async fn keep_audit_partitions(
        &self,
        today: NaiveDate,
        retain_from: Option<NaiveDate>,
    ) -> Result<i32> {
        let mut tx = self.platform().await?;
        sqlx::query!(
            "SELECT armour_audit_partition(($1::date + make_interval(months => month))::date)
             FROM generate_series(0, 2) AS month",
            today
        )
        .fetch_all(&mut *tx.inner)
        .await?;
        // Each in a transaction of its own: what is made is there though nothing can be dropped.
        tx.commit().await?;
        let Some(from) = retain_from else {
            return Ok(0);
        };
        let mut tx = self.platform().await?;
        let dropped = sqlx::query_scalar!(r#"SELECT armour_audit_retain($1) AS "dropped!""#, from)
            .fetch_one(&mut *tx.inner)
            .await?;
        tx.commit().await?;
        Ok(dropped)
    }
}

/// When a month's entries may be dropped if they are kept so many days.
pub fn retain_from(now: DateTime<Utc>, days: u32) -> NaiveDate {
    (now - Duration::days(days.into())).date_naive()
}
