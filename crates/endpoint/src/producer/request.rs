//! A request that has been begun, on its way to the API: only verified content of it.

mod feed;

use std::sync::Arc;

use armour_protocol::v2::{
    checkpoint::SignedCheckpoint, message::Request as RequestSide, proxy::Arrived,
};
use axum::body::Body;
use h2::Reason;
use http::Request;
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use self::feed::{Feed, Pace};
use super::{
    rekeying::Rekeying,
    turn::{self, Turn},
};
use crate::wire::{
    bhttp::decoder::{Decoder, Piece},
    handed_on,
    message::MessageReader,
    stream::Broken,
    whole_body::{End, WholeBody, whole as whole_body},
};

/// A request for the API.
pub struct Opened {
    /// None if it is not one.
    pub request: Option<Request<Body>>,
    /// Whose turn it is.
    pub turn: Turn,
    /// The end of its stream, if it is one.
    pub end: Option<RequestEnd>,
}

/// The rest of a request that is a stream: its last checkpoint, once that has come. Dropped,
/// the request is broken off.
pub struct RequestEnd {
    last: oneshot::Receiver<SignedCheckpoint>,
    pace: Pace,
    _feed: AbortOnDropHandle<()>,
}

impl RequestEnd {
    /// The last checkpoint if it is there.
    pub fn try_get(&mut self) -> Option<SignedCheckpoint> {
        self.last.try_recv().ok()
    }

    /// The API begins to answer: while it does, the request may stand still.
    pub fn answer_begins(&self) {
        self.pace.answering.cancel();
    }

    /// Waits for the last checkpoint, once the API has answered: what it does not take then in
    /// a while it does not want.
    pub async fn after_the_answer(self) -> Result<SignedCheckpoint, Broken> {
        self.pace.answering.cancel();
        self.pace.answered.cancel();
        self.last.await.map_err(|_| Broken)
    }
}

/// Reads verified content as a request. The rest of a stream is read to its end, whether
/// the API wants it or not: the lane goes on after it.
pub fn open(
    arrived: Arrived<RequestSide>,
    rest: MessageReader,
    rekeying: &Arc<Rekeying>,
) -> Opened {
    let mut decoder = Decoder::default();
    match arrived {
        Arrived::Whole(content) => {
            decoder.push(content.content());
            drop(content);
            Opened {
                request: whole(decoder),
                turn: Turn::of_the_api(),
                end: None,
            }
        }
        Arrived::Stream(first, reader) => {
            decoder.push(first.content());
            drop(first);
            let head = match decoder.piece() {
                Ok(Some(Piece::Request(head))) => Some(head),
                _ => None,
            };
            let (sender, body) = handed_on::body(Reason::CANCEL);
            let (ended, last) = oneshot::channel();
            let (turns, turn) = turn::turns();
            let pace = Pace::start();
            let feed = Feed {
                decoder,
                rest,
                rekeying: rekeying.clone(),
                sender: head.is_some().then_some(sender),
                end: None,
                pace: pace.clone(),
                turns,
            };
            let reader = reader.follow(rekeying.request.epochs());
            let still = pace.clone();
            let feed = tokio::spawn(async move {
                let last = tokio::select! {
                    last = feed.run(reader) => last,
                    () = still.too_slow() => {
                        tracing::debug!("a request stands still");
                        None
                    }
                };
                if let Some(last) = last {
                    let _ = ended.send(last);
                }
            });
            Opened {
                request: head.map(|head| head.map(|()| body)),
                turn,
                end: Some(RequestEnd {
                    last,
                    pace,
                    _feed: AbortOnDropHandle::new(feed),
                }),
            }
        }
    }
}

fn whole(mut decoder: Decoder) -> Option<Request<Body>> {
    let Ok(Some(Piece::Request(head))) = decoder.piece() else {
        return None;
    };
    let WholeBody { pieces, end } = WholeBody::read(decoder)?;
    // What its sender broke off is no request.
    let End::Whole(trailers) = end else {
        return None;
    };
    Some(head.map(|()| whole_body(pieces, trailers)))
}

#[cfg(test)]
mod tests;
