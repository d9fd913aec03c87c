//! Draws a bundle and installs it.

use std::sync::Arc;

use armour_api::ProblemType;
use thiserror::Error;
use uuid::Uuid;

use super::{bundle::Bundle, pair::ConsumerPair, standing::Standing};
use crate::control_plane::{draw::DrawError, grant::GrantError};

/// Why there is no bundle.
#[derive(Debug, Error)]
pub enum Failed {
    /// None was granted.
    #[error(transparent)]
    Draw(#[from] DrawError),
    /// It was granted and is not taken.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// Nobody knows where to reach its producer.
    #[error("the producer's endpoint has no address")]
    NoAddress,
}

impl Failed {
    /// Whether the control plane refuses for this reason.
    pub fn is(&self, kind: ProblemType) -> bool {
        matches!(self, Self::Draw(error) if error.is(kind))
    }
}

/// Draws a bundle in place of another one. Returns which one was drawn, whatever came of it.
pub async fn draw(
    consumer: Arc<ConsumerPair>,
    replaces: Option<Uuid>,
) -> (Option<Uuid>, Result<Arc<Bundle>, Failed>) {
    // The enclave takes the draws of a pair in the order of their numbers only.
    let _one = consumer.drawing.lock().await;
    let pair = consumer.pair.lock().id;
    match consumer.session.draw(pair, replaces).await {
        Ok(drawn) => {
            let wanted = drawn.wanted.saturating_add(consumer.not_serving());
            consumer.slots.want(wanted);
            let taken = take(&consumer, pair, drawn.bundle).await;
            (Some(drawn.bundle), taken)
        }
        Err(error) => (None, Err(error.into())),
    }
}

async fn take(consumer: &ConsumerPair, pair: Uuid, id: Uuid) -> Result<Arc<Bundle>, Failed> {
    let taken = consumer.session.take_bundle(id, Some(pair)).await?;
    let producer = consumer
        .via
        .clone()
        .or(taken.grant.producer_address)
        .ok_or(Failed::NoAddress)?;
    let producer = producer.trim_end_matches('/').to_owned();
    tracing::info!(bundle = %id, %producer, pinned = taken.pinned, "took a bundle");
    let endpoint = Uuid::from_bytes(taken.context.binding().producer.endpoint);
    let standing = consumer.standing(endpoint);
    let bundle = Bundle::new(
        taken.grant.policy,
        taken.context,
        taken.gate,
        producer,
        standing,
    );
    consumer.taken.lock().insert(id);
    consumer.live.lock().push(bundle.clone());
    if consumer.closing.is_cancelled() {
        bundle.kill(false);
    }
    Ok(bundle)
}

impl ConsumerPair {
    /// How a producer's endpoint stands: as is known, if there is another bundle with it, unless
    /// it was about to leave.
    fn standing(&self, producer: Uuid) -> Arc<Standing> {
        let live = self.live.lock();
        let known = live
            .iter()
            .find(|bundle| bundle.standing.producer == producer && !bundle.moves.is_cancelled());
        match known {
            Some(bundle) => bundle.standing.clone(),
            None => Standing::new(producer, self.random.clone()),
        }
    }
}
