//! The control plane's decisions, over what it recorded and was told: pure, so that the
//! model and the server share them. Whoever calls them holds the endpoint's row.

mod link;
mod start;

pub use link::{KeySpan, LinkCollision, LinkFacts, LinkVerdict, due_key, judge_link};
pub use start::{
    ANSWER_MS, Asked, Choice, Current, DISPUTE_MS, Dispute, STREAM_MS, StartCollision, StartFacts,
    StartVerdict, judge_start,
};
