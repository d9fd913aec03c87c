//! A receipt that the ledger asks to be shown: with the producer's signature on it, it
//! shows that the producer was copied; without, the finding is this endpoint's.

use std::sync::Arc;

use armour_api::ShowReceipt;
use armour_client::ClientError;
use armour_enclave::binding::LaneId;
use armour_protocol::v2::{body::Kind, message::Evidence};
use backon::Retryable as _;
use base64::{Engine, engine::general_purpose::STANDARD};
use uuid::Uuid;

use super::{Reporter, lane::Report};
use crate::{backoff, control_plane::session::Session};

impl Reporter {
    /// Shows receipt `n` of a report's lane, in a task of its own.
    pub(super) fn show_receipt(&self, report: &Report, n: u64) {
        let id = report.id;
        let lanes = self.lanes.lock();
        let kept = lanes.get(id).and_then(|lane| lane.receipt(n)).cloned();
        drop(lanes);
        let session = self.session.clone();
        tokio::spawn(async move {
            let receipt = match kept {
                Some(receipt) => Some(receipt),
                None => last_receipt(&session, id, n).await,
            };
            match receipt {
                Some(receipt) => show(&session, id, receipt).await,
                None => tracing::error!(bundle = %Uuid::from_bytes(id.bundle), lane = id.lane, n,
                    "the ledger asks for a receipt that is not here any more"),
            }
        });
    }
}

/// The receipt of this number, if the enclave's last one of the lane is it.
async fn last_receipt(session: &Arc<Session>, id: LaneId, n: u64) -> Option<Evidence> {
    let bytes = session.last_receipt(id).await.ok()?;
    let receipt = Evidence::from_bytes(&bytes).ok()?;
    let header = &receipt.body.header;
    (header.kind == Kind::Receipt && header.n == n).then_some(receipt)
}

async fn show(session: &Session, id: LaneId, receipt: Evidence) {
    let n = receipt.body.header.n;
    let shown = ShowReceipt {
        bundle_id: Uuid::from_bytes(id.bundle),
        receipt: STANDARD.encode(receipt.to_bytes()),
    };
    let done = (|| session.client().show_receipt(&shown))
        .retry(backoff::retries())
        .when(ClientError::is_passing)
        .notify(|error, _| tracing::warn!(%error, "a receipt is not shown yet"))
        .await;
    match done {
        Ok(()) => tracing::warn!(bundle = %shown.bundle_id, lane = id.lane, n,
            "showed the ledger a receipt that it asked for"),
        Err(error) => tracing::error!(%error, bundle = %shown.bundle_id, lane = id.lane, n,
            "the ledger does not take a receipt that it asked for"),
    }
}
