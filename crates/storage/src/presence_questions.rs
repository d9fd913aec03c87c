//! Questions to living starts: whether they live, though another wants their place.

use armour_protocol::v2::identity::start::StartHash;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{decode::fixed, error::Result, tx::Tx};

/// What a living start was asked.
#[derive(Debug, Clone, Copy)]
pub struct QuestionRow {
    /// The start that wants its place.
    pub about: StartHash,
    /// When it was asked.
    pub asked_at: DateTime<Utc>,
    /// The answer, a signature, and when it came.
    pub answer: Option<([u8; 64], DateTime<Utc>)>,
}

impl Tx {
    /// Questions to the living starts of the tenant's endpoints.
    pub fn presence_questions(&mut self) -> PresenceQuestions<'_> {
        PresenceQuestions(self)
    }
}

/// Questions to the living starts of the tenant's endpoints.
pub struct PresenceQuestions<'a>(&'a mut Tx);

impl PresenceQuestions<'_> {
    /// Asks about a start, in place of what was asked before.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn ask(&mut self, endpoint: Uuid, about: StartHash) -> Result<()> {
        sqlx::query!(
            "INSERT INTO presence_questions (tenant_id, endpoint_id, about) VALUES ($1, $2, $3)
             ON CONFLICT (tenant_id, endpoint_id) DO UPDATE
             SET about = $3, asked_at = now(), answer = NULL, answered_at = NULL",
            self.0.tenant,
            endpoint,
            &about.0[..]
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// Records an answer, if there was none. Returns whether this was asked.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn answer(
        &mut self,
        endpoint: Uuid,
        about: StartHash,
        signature: &[u8; 64],
    ) -> Result<bool> {
        let done = sqlx::query!(
            "UPDATE presence_questions SET answer = coalesce(answer, $4),
                    answered_at = coalesce(answered_at, now())
             WHERE tenant_id = $1 AND endpoint_id = $2 AND about = $3",
            self.0.tenant,
            endpoint,
            &about.0[..],
            &signature[..]
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// What an endpoint's living start was asked last.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn find(&mut self, endpoint: Uuid) -> Result<Option<QuestionRow>> {
        let row = sqlx::query!(
            "SELECT about, asked_at, answer, answered_at FROM presence_questions
             WHERE tenant_id = $1 AND endpoint_id = $2",
            self.0.tenant,
            endpoint
        )
        .fetch_optional(&mut *self.0.inner)
        .await?;
        row.map(|row| {
            let answer = row.answer.map(fixed).transpose()?;
            Ok(QuestionRow {
                about: StartHash(fixed(row.about)?),
                asked_at: row.asked_at,
                answer: answer.zip(row.answered_at),
            })
        })
        .transpose()
    }

    /// Forgets what was asked.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn drop(&mut self, endpoint: Uuid) -> Result<()> {
        sqlx::query!(
            "DELETE FROM presence_questions WHERE tenant_id = $1 AND endpoint_id = $2",
            self.0.tenant,
            endpoint
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }
}
