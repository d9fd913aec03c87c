//! A receipt, or sub-receipt, that the ledger asks to be shown: with the producer's signature on it, it
//! shows that the producer was copied; without, the finding is this endpoint's.

use std::sync::Arc;

use armour_api::ShowReceipt;
use armour_client::ClientError;
use armour_enclave::binding::LaneId;
use armour_protocol::v2::{body::Kind, message::Evidence, rekey::SubEvidence};
use backon::Retryable as _;
use base64::{Engine, engine::general_purpose::STANDARD};
use uuid::Uuid;

use super::{Reporter, lane::Report};
use crate::{backoff, control_plane::session::Session};

impl Reporter {
    /// Shows receipt `n` of a report's lane, in a task of its own.
    pub(super) fn show_receipt(&self, report: &Report, n: u64, k: u32) {
        let id = report.id;
        let lanes = self.lanes.lock();
        let lane = lanes.get(id);
        let kept = lane.and_then(|lane| match k {
            0 => lane.receipt(n).map(Evidence::to_bytes),
            _ => lane.sub_receipt(n, k).map(SubEvidence::to_bytes),
        });
        drop(lanes);
        let session = self.session.clone();
        tokio::spawn(async move {
            let receipt = match (kept, k) {
                (None, 0) => last_receipt(&session, id, n).await,
                (None, k) => session.last_sub_receipt(id, n, k).await.ok(),
                (kept, _) => kept,
            };
            match receipt {
                Some(receipt) => show(&session, id, n, &receipt).await,
                None => {
                    tracing::error!(bundle = %Uuid::from_bytes(id.bundle), lane = id.lane, n, k,
                    "the ledger asks for a receipt that is not here any more")
                }
            }
        });
    }
}

/// The receipt of this number, if the enclave's last one of the lane is it.
async fn last_receipt(session: &Arc<Session>, id: LaneId, n: u64) -> Option<Vec<u8>> {
    let bytes = session.last_receipt(id).await.ok()?;
    let receipt = Evidence::from_bytes(&bytes).ok()?;
    let header = &receipt.body.header;
    (header.kind == Kind::Receipt && header.n == n).then_some(bytes)
}

async fn show(session: &Session, id: LaneId, n: u64, receipt: &[u8]) {
    let shown = ShowReceipt {
        bundle_id: Uuid::from_bytes(id.bundle),
        receipt: STANDARD.encode(receipt),
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
