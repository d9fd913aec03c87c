//! One accepted ticket: its request until that has come, and its answer.

use std::sync::Arc;

use armour_protocol::v2::{
    body::Body,
    error::ContentError,
    mode::Reason,
    proxy::{Pending, Refused, SegmentHeader, Undecided},
};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{rekeying::Rekeying, response_log::ResponseLog};
use crate::wire::message::MessageReader;

/// An accepted ticket and what became of it.
pub struct Exchange {
    /// The ticket.
    pub ticket: Body,
    /// Its answer, sealed: what is kept of it is on the network anyway.
    pub log: Arc<ResponseLog>,
    /// How its streams are re-keyed.
    pub rekeying: Arc<Rekeying>,
    /// Cancelled once its consumer has given it up: its caller has left.
    pub given_up: CancellationToken,
    /// Cancelled once both its directions have ended, or it was given up.
    pub ended: CancellationToken,
    intake: Mutex<Option<Intake>>,
}

/// A request that is awaited.
struct Intake {
    pending: Pending,
    arrived: oneshot::Sender<Arrival>,
}

/// A verified request, and the connection that brings the rest of it.
pub struct Arrival {
    /// Neither begun nor refused.
    pub request: Undecided,
    /// What follows its first segment.
    pub rest: MessageReader,
}

impl Exchange {
    /// A ticket that needed no more than this answer.
    pub fn answered(ticket: Body, answer: Bytes) -> Arc<Self> {
        let log = Arc::new(ResponseLog::default());
        log.head(answer);
        log.finish();
        let ended = CancellationToken::new();
        ended.cancel();
        Arc::new(Self {
            ticket,
            log,
            rekeying: Arc::default(),
            given_up: CancellationToken::new(),
            ended,
            intake: Mutex::new(None),
        })
    }

    /// A call whose content is awaited, from whatever connection brings it.
    pub fn awaited(ticket: Body, pending: Pending) -> (Arc<Self>, oneshot::Receiver<Arrival>) {
        let (arrived, arrival) = oneshot::channel();
        let exchange = Self {
            ticket,
            log: Arc::default(),
            rekeying: Arc::default(),
            given_up: CancellationToken::new(),
            ended: CancellationToken::new(),
            intake: Mutex::new(Some(Intake { pending, arrived })),
        };
        (Arc::new(exchange), arrival)
    }

    /// Whether its content is still awaited.
    pub fn is_awaited(&self) -> bool {
        self.intake.lock().is_some()
    }

    /// Takes the request's first segment. Of two connections that bring the request one is
    /// listened to.
    ///
    /// # Errors
    /// [`ContentError`]: it is not what the consumer signed; that is awaited still.
    pub fn take(
        &self,
        header: SegmentHeader,
        sealed: &[u8],
        rest: MessageReader,
    ) -> Result<(), ContentError> {
        let mut place = self.intake.lock();
        let Some(Intake { pending, arrived }) = place.take() else {
            return Ok(());
        };
        match pending.receive(header, sealed) {
            Ok(request) => {
                let _ = arrived.send(Arrival { request, rest });
                Ok(())
            }
            Err((pending, error)) => {
                *place = Some(Intake {
                    pending: *pending,
                    arrived,
                });
                Err(error)
            }
        }
    }

    /// Awaits the content no more: the call never begins. None if it has come meanwhile.
    pub fn refuse(&self, reason: Reason) -> Option<Refused> {
        let intake = self.intake.lock().take();
        intake.map(|intake| intake.pending.refuse(reason))
    }
}

#[cfg(test)]
mod tests {
    use armour_protocol::v2::{
        content::{DigestKind, Padding},
        message::Request,
        proxy::{Arrived, Outgoing, WholeContent},
        time::ProducerTime,
    };

    use super::*;
    use crate::testing::{BUDGET, Lane};

    fn sealed_by_a_thief(keys: &[u8], content: &[u8]) -> Option<Vec<u8>> {
        let outgoing = Outgoing::<Request>::from_bytes(keys).unwrap();
        let whole = WholeContent::new(content, DigestKind::Sha256, Padding::None).unwrap();
        let mut wire = Vec::new();
        whole.seal(outgoing, &mut wire).is_ok().then_some(wire)
    }

    async fn offer(exchange: &Exchange, wire: &[u8]) -> Result<(), ContentError> {
        let body = axum::body::Body::from(wire.to_vec());
        let mut rest = MessageReader::new(body);
        let (header, sealed) = rest.segment().await.unwrap();
        exchange.take(header, &sealed, rest)
    }

    /// Whoever holds the one-time key, on the path, cannot change what was signed.
    #[tokio::test]
    async fn p1_a_request_that_was_not_signed_is_dropped_and_the_genuine_one_taken() {
        let call = Lane::open().whole(b"GET /genuine");
        assert!(sealed_by_a_thief(&call.keys, b"DELETE /forged").is_none());
        let (exchange, mut arrival) = Exchange::awaited(call.ticket, call.pending);
        let mut forged = call.wire.clone();
        *forged.last_mut().unwrap() ^= 1;
        assert_eq!(offer(&exchange, &forged).await, Err(ContentError::Seal));
        assert!(arrival.try_recv().is_err() && exchange.is_awaited());
        offer(&exchange, &call.wire).await.unwrap();
        // A second connection that brings the same is not listened to.
        offer(&exchange, &call.wire).await.unwrap();
        let Ok((_, Arrived::Whole(content))) =
            arrival.try_recv().unwrap().request.begin(ProducerTime(0))
        else {
            panic!("it is whole and in time");
        };
        assert_eq!(content.content(), b"GET /genuine");
    }

    /// However long a request was held up, it does not begin after its time.
    #[tokio::test]
    async fn p5_a_request_that_comes_late_is_refused_and_cannot_be_read() {
        let call = Lane::open().whole(b"POST /pay");
        let begin_by = call.pending.begin_by();
        assert!(begin_by <= ProducerTime(u64::from(BUDGET)));
        let (exchange, mut arrival) = Exchange::awaited(call.ticket, call.pending);
        offer(&exchange, &call.wire).await.unwrap();
        assert!(exchange.refuse(Reason::LATE).is_none(), "it has come");
        let request = arrival.try_recv().unwrap().request;
        let late = request.begin(ProducerTime(begin_by.0 + 1));
        assert!(late.is_err_and(|refused| refused.reason() == Reason::LATE));
    }

    #[tokio::test]
    async fn a_request_that_does_not_come_is_refused_once() {
        let call = Lane::open().whole(b"POST /pay");
        let (exchange, mut arrival) = Exchange::awaited(call.ticket, call.pending);
        assert!(exchange.refuse(Reason::LATE).is_some());
        assert!(exchange.refuse(Reason::LATE).is_none());
        offer(&exchange, &call.wire).await.unwrap();
        assert!(arrival.try_recv().is_err());
    }
}
