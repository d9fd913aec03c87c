//! An accepted call, and how it is concluded.

use std::sync::Arc;

use armour_enclave::binding::LaneId;
use armour_protocol::v2::{
    body::Direction,
    checkpoint::SignedCheckpoint,
    message::{Response, SignedReceipt},
    proxy::{Conclusion, Outgoing},
    time::ProducerTime,
};

use uuid::Uuid;

use super::{bundles::Held, endpoint::ProducerEndpoint, exchange::Exchange};
use crate::{
    access_log::{Record, Side},
    foreign_checkpoint::FOREIGN_CHECKPOINT,
    wire::stream::Broken,
};

/// An accepted call.
pub struct Call {
    pub producer: Arc<ProducerEndpoint>,
    pub held: Arc<Held>,
    pub exchange: Arc<Exchange>,
    pub lane: LaneId,
    pub begin_by: ProducerTime,
    pub record: Record,
}

impl Call {
    /// What is noted of a call that is accepted.
    pub fn record(producer: &ProducerEndpoint, held: &Held, lane: LaneId, n: u64) -> Record {
        let record = producer.access_log.begin(Side::Producer);
        let binding = held.context.binding();
        let consumer = Uuid::from_bytes(binding.consumer.endpoint);
        record.pair(Uuid::from_bytes(binding.pair));
        record.placed(held.id, lane.lane, consumer, None);
        record.ticket(n);
        record
    }

    /// A receipt without content. It ends both directions.
    pub async fn bare(&self, conclusion: Conclusion) -> Result<(), Broken> {
        let (out, _) = self.conclude(conclusion).await?;
        self.exchange.log.head(out.into());
        self.exchange.log.finish();
        Ok(())
    }

    /// Has the call's one receipt made. Its frame, and what seals the content that goes
    /// with it.
    pub async fn conclude(
        &self,
        conclusion: Conclusion,
    ) -> Result<(Vec<u8>, Option<Outgoing<Response>>), Broken> {
        let (producer, held, lane) = (self.producer.clone(), self.held.clone(), self.lane);
        // In a task of its own: a receipt that was signed is reported though the call should
        // be given up meanwhile.
        let concluded = tokio::spawn(async move {
            let conclusion = conclusion.to_bytes();
            let concluded = producer.enclave.conclude(lane, conclusion).await;
            // The bundle may have been erased meanwhile: nobody may learn the response.
            let concluded = concluded.map_err(|error| {
                tracing::warn!(%error, lane = lane.lane, "a call cannot be concluded");
                Broken
            })?;
            if let Ok(receipt) = SignedReceipt::from_bytes(&concluded.head) {
                producer.reporter.add(&held.context, receipt.evidence());
            }
            Ok(concluded)
        });
        let concluded = concluded.await.map_err(|_| Broken)??;
        let outgoing = concluded.outgoing.as_deref();
        let outgoing = outgoing.map(|bytes| Outgoing::from_bytes(bytes));
        let frame = self.held.gate.frame(Direction::Response, &concluded.head);
        Ok((frame, outgoing.transpose().map_err(|_| Broken)?))
    }

    /// Both directions have ended; the lane may take its next ticket.
    pub async fn finish(&self, last: Option<SignedCheckpoint>) -> Result<(), Broken> {
        let shown = last.as_ref().map(SignedCheckpoint::to_bytes);
        let finished = self.producer.enclave.finish(self.lane, shown).await;
        finished.map_err(|error| {
            if error.is(FOREIGN_CHECKPOINT) {
                self.exchange.rekeying.foreign(last.as_ref());
            }
            tracing::warn!(%error, lane = self.lane.lane, "a stream is not final");
            Broken
        })
    }
}
