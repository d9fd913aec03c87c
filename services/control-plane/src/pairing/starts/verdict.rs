//! What is known of an endpoint when one of its starts is judged.

use armour_api::EndpointState;
use armour_protocol::v2::identity::{
    incarnation::Presence,
    judge::{ANSWER_MS, Asked, Choice, Current, Dispute, StartFacts, StartVerdict, judge_start},
    mark::Incarnated,
    start::{SignedStart, Start, StartHash},
};
use armour_storage::{DisputeRow, KeyRow, QuestionRow, StartRow, Tx};
use chrono::{DateTime, Duration, Utc};
use ed25519_dalek::VerifyingKey;
use uuid::Uuid;

use super::lookup::unknown;
use crate::{
    http::problem::{ApiError, ApiResult},
    identity::authn::NotLiving,
    pairing::fenced::is_endpoint_fenced,
};

/// After this a question whose answer nobody waited for is asked again.
const STALE: Duration = Duration::seconds(30);

/// What is recorded of an endpoint, whose row is locked.
pub struct Known {
    id: Uuid,
    starts: Vec<SignedStart>,
    declined: bool,
    living: Option<(StartRow, KeyRow)>,
    touched_at: Option<DateTime<Utc>>,
    question: Option<QuestionRow>,
    dispute: Option<DisputeRow>,
    fenced: bool,
}

impl Known {
    /// Locks the endpoint's row and reads what says what this start is; or why the endpoint
    /// may not start any more.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn lock(tx: &mut Tx, id: Uuid, start: &Start) -> ApiResult<Result<Self, NotLiving>> {
        match tx.endpoints().lock(id).await? {
            EndpointState::Active => {}
            EndpointState::Revoked => return Ok(Err(NotLiving::Revoked)),
            EndpointState::Collided => return Ok(Err(NotLiving::Collided)),
        }
        let living = match tx.starts().living(id).await? {
            None => None,
            Some(living) => {
                let mut keys = tx.starts().keys_around(id, living.hash, u64::MAX).await?;
                let key = keys.pop();
                let key = key.ok_or_else(|| ApiError::internal("a start without a key"))?;
                Some((living, key))
            }
        };
        let touched_at = match &living {
            None => None,
            Some((living, _)) => tx.starts().stream_touched(id, living.hash).await?,
        };
        Ok(Ok(Self {
            id,
            starts: tx.starts().around(id, start.counter()).await?,
            declined: tx.disputes().is_declined(id, start.hash()).await?,
            touched_at,
            question: tx.presence_questions().find(id).await?,
            dispute: tx.disputes().find(id).await?,
            fenced: is_endpoint_fenced(tx, id).await?,
            living,
        }))
    }

    /// Whether this start lives.
    pub fn lives(&self, start: StartHash) -> bool {
        self.living().is_some_and(|living| living.hash == start)
    }

    /// The start that lives.
    pub fn living(&self) -> Option<&StartRow> {
        self.living.as_ref().map(|(living, _)| living)
    }

    /// The dispute that lasts.
    pub fn dispute(&self) -> Option<&DisputeRow> {
        self.dispute.as_ref()
    }

    /// A recorded start.
    pub fn recorded(&self, hash: StartHash) -> Option<&SignedStart> {
        let mut starts = self.starts.iter();
        starts.find(|start| start.unverified().hash() == hash)
    }

    /// The last recorded start of those that were read.
    pub fn last(&self) -> Option<&SignedStart> {
        self.starts.last()
    }

    /// Whether the living start still has time to answer what it was asked.
    pub fn is_asking(&self, now: DateTime<Utc>) -> bool {
        self.question.is_some_and(|question| {
            question.answer.is_none() && millis(now - question.asked_at) <= ANSWER_MS
        })
    }

    fn asked(&self, now: DateTime<Utc>) -> Option<Asked> {
        let question = self.question?;
        if question.answer.is_none() && now - question.asked_at > STALE {
            return None;
        }
        let until = question.answer.map_or(now, |(_, at)| at);
        Some(Asked {
            about: question.about,
            waited: millis(until - question.asked_at),
            answer: question
                .answer
                .map(|(signature, _)| Presence::from_bytes(signature)),
        })
    }
}

/// Judges a start, with what people chose if they did just now.
///
/// # Errors
/// If it is not the endpoint's.
pub fn judge(
    start: &SignedStart,
    long_term: &VerifyingKey,
    known: &Known,
    now: DateTime<Utc>,
    choice: Option<Choice>,
) -> ApiResult<StartVerdict> {
    let recorded: Vec<Start> = known
        .starts
        .iter()
        .map(|start| start.unverified().clone())
        .collect();
    let hash = start.unverified().hash();
    let declined = [hash];
    let facts = StartFacts {
        endpoint: *known.id.as_bytes(),
        long_term,
        recorded: &recorded,
        declined: match known.declined {
            true => &declined,
            false => &[],
        },
        current: known.living.as_ref().map(|(living, key)| Current {
            of: Incarnated::by(living.start.unverified()),
            key: &key.span.key,
            touched: known.touched_at.map(|at| millis(now - at)),
        }),
        asked: known.asked(now),
        dispute: known.dispute.as_ref().map(|dispute| Dispute {
            newer: dispute.newer,
            age: millis(now - dispute.since),
            choice,
        }),
        fenced: known.fenced,
    };
    judge_start(start, &facts).map_err(|_| unknown())
}

/// Milliseconds; none before it began.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.num_milliseconds()).unwrap_or(0)
}
