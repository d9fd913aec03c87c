//! A lane for a request.

use std::{sync::Arc, time::Duration};

use super::{
    bundle::Lane,
    exchange,
    pair::{ConsumerPair, Current},
};
use crate::wire::{problem::Refusal, problem_type::ProblemType};

/// How long a request waits for a bundle or a free lane.
const LANE_WAIT: Duration = Duration::from_secs(10);

impl ConsumerPair {
    /// A lane of the current bundle, open.
    pub async fn lane(self: &Arc<Self>) -> Result<Lane, Refusal> {
        let bundle = tokio::time::timeout(LANE_WAIT, self.bundle())
            .await
            .map_err(|_| match &*self.current.lock() {
                Current::None(why) => Refusal::new(ProblemType::Disconnected, *why),
                Current::Bundle(_) => Refusal::new(ProblemType::Disconnected, "no bundle in time"),
            })??;
        self.check_lease(&bundle)?;
        loop {
            let Some(lane) = bundle.lane(LANE_WAIT).await else {
                return Err(Refusal::new(ProblemType::LanesBusy, "every lane is busy"));
            };
            if !lane.fresh {
                return Ok(lane);
            }
            // Its opening exchange is empty and carries no request.
            match exchange::start(self.clone(), lane, exchange::Outgoing::Empty).await {
                Ok(Ok(_)) => {}
                Ok(Err(refusal)) => return Err(refusal),
                Err(_) => return Err(Refusal::stopping()),
            }
        }
    }
}
