//! What comes of a link that is taken.

use armour_api::LinkOutcome;
use armour_protocol::v2::identity::{body::LinkBody, link::SignedLink};
use armour_storage::Tx;

use super::{acknowledge, disown, heartbeat, intruder, renew, retire, told::Told};
use crate::http::problem::{ApiError, ApiResult};

/// Does what a link says that asks for no bundles: those are issued together with others'.
///
/// # Errors
/// If the database refuses: then nothing has happened, and the link is not taken. What is
/// refused for a reason is part of the outcome.
pub async fn apply(tx: &mut Tx, told: &Told<'_>, link: &SignedLink) -> ApiResult<LinkOutcome> {
    match link.body() {
        LinkBody::Heartbeat(body) => heartbeat::apply(tx, told, body).await,
        LinkBody::Request(_) => Err(ApiError::internal("draws are taken together")),
        LinkBody::Acknowledge(items) => acknowledge::apply(tx, told, items).await,
        LinkBody::Disown(items) => disown::apply(tx, told, link, items).await,
        LinkBody::Retire(retirement) => retire::apply(tx, told, retirement).await,
        LinkBody::Renew(keys) => renew::apply(tx, told, link, keys).await,
        LinkBody::EnclaveIntruder(what) => intruder::apply(tx, told, *what).await,
    }
}
