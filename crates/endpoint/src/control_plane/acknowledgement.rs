//! Acknowledgements of bundles that are installed, all of a moment in one link.

use armour_api::Problem;
use armour_protocol::v2::identity::body::{Acknowledged, LinkBody};

use super::{
    batch::Batches,
    chain::{ChainClient, LinkError},
};

/// What came of one: why it was not taken, if so.
pub(super) type Acknowledgement = Result<Option<Box<Problem>>, LinkError>;

/// Acknowledgements on a chain.
pub(super) fn batches(chain: ChainClient) -> Batches<Acknowledged, Acknowledgement> {
    Batches::new(move |bundles: Vec<Acknowledged>| {
        let chain = chain.clone();
        async move {
            let count = bundles.len();
            match chain.items(LinkBody::Acknowledge(bundles)).await {
                Ok(items) => items
                    .into_iter()
                    .map(|item| Ok(item.problem.map(Box::new)))
                    .collect(),
                Err(error) => (0..count).map(|_| Err(error.clone())).collect(),
            }
        }
    })
}
