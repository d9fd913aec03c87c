//! Verified content on its way to the caller, as a response. Nothing else comes here.

use std::time::Duration;

use armour_protocol::v2::{
    checkpoint::SignedCheckpoint,
    message::Response as ResponseSide,
    proxy::{Arrived, Incoming, Read, StreamReader},
    retry::Fate,
};
use axum::body::Body;
use bytes::Bytes;
use http::Response;
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{
    fate::Failure,
    in_flight::{Caller, Exchange, Progress, left, tell},
    transport::Answer,
};
use crate::wire::{
    bhttp::{Decoder, Malformed, Piece},
    message::{MessageReader, ReadError},
    whole_body::whole_body,
};

/// How long a message's first segment may take to come whole.
const FIRST_TIMEOUT: Duration = Duration::from_secs(30);
/// For so long what has been verified may take to be sent before a response is cut.
const FLUSH: Duration = Duration::from_millis(50);

type BodyFrame = Result<Frame<Bytes>, std::io::Error>;

/// Hands an answer's content over, once its sender's word for it has been verified. Where
/// the connection breaks, or brings what is not the producer's, the same request brings the
/// same answer again.
pub async fn deliver(
    mut exchange: Exchange,
    incoming: Incoming<ResponseSide>,
    answer: Answer,
    caller: &mut Caller,
) {
    let (head, mut rest) = (answer.head, answer.rest);
    let arrived = tokio::select! {
        arrived = arrival(&exchange, incoming, &head, &mut rest) => arrived,
        () = left(caller) => None,
    };
    match arrived {
        // It was begun; how far it ran nobody says.
        None => tell(caller, Err(Failure::unanswered(Fate::Unknown))),
        Some(Arrived::Whole(content)) => {
            let mut decoder = Decoder::default();
            decoder.push(content.content());
            drop(content);
            let outcome = whole(decoder).ok_or(Failure::unanswered(Fate::Unknown));
            if exchange.upload.is_none() {
                exchange.finish(None).await;
                drop(exchange);
                return tell(caller, outcome);
            }
            // The response may end what the request waits for.
            tell(caller, outcome);
            exchange.finish(None).await;
        }
        Some(Arrived::Stream(first, reader)) => {
            let mut decoder = Decoder::default();
            decoder.push(first.content());
            drop(first);
            let stream = Stream {
                decoder,
                reader: Some(reader),
                body: None,
                read: 1,
                verified: 1,
            };
            if let Some(last) = stream.run(&exchange, &head, rest, caller).await {
                exchange.finish(Some(last.to_bytes())).await;
            }
            tell(caller, Err(Failure::unanswered(Fate::Unknown)));
        }
    }
    exchange.end();
}

/// The first segment's content, from whatever connection brings it.
async fn arrival(
    exchange: &Exchange,
    incoming: Incoming<ResponseSide>,
    head: &Bytes,
    rest: &mut MessageReader,
) -> Option<Arrived<ResponseSide>> {
    let mut progress = Progress::now();
    loop {
        let error = match first(exchange, &incoming, rest).await {
            Ok(arrived) => return Some(arrived),
            Err(error) => error,
        };
        tracing::debug!(%error, lane = exchange.lane.number, "an answer is not whole");
        *rest = exchange.again(head, &mut progress).await?;
    }
}

/// The first segment's content, verified.
async fn first(
    exchange: &Exchange,
    incoming: &Incoming<ResponseSide>,
    rest: &mut MessageReader,
) -> Result<Arrived<ResponseSide>, ReadError> {
    let segment = tokio::time::timeout(FIRST_TIMEOUT, rest.segment());
    let (header, sealed) = segment.await.map_err(|_| ReadError::Cut)??;
    let content = incoming.open(header, &sealed)?;
    Ok(content.verify(&exchange.bundle().context)?)
}

fn whole(mut decoder: Decoder) -> Option<Response<Body>> {
    let Ok(Some(Piece::Response(response))) = decoder.piece() else {
        return None;
    };
    let body = whole_body(decoder)?;
    Some(response.map(|()| body))
}

/// A response that comes piece by piece.
struct Stream {
    decoder: Decoder,
    reader: Option<Box<StreamReader<ResponseSide>>>,
    /// Where the caller reads, once it has the head.
    body: Option<mpsc::Sender<BodyFrame>>,
    /// Segments read.
    read: u64,
    /// Segments up to the last that was verified.
    verified: u64,
}

/// The caller wants no more, or the response is none.
struct Over;

/// Waits until the caller has left, who has the head if there is a body.
async fn gone(body: &Option<mpsc::Sender<BodyFrame>>, caller: &mut Caller) {
    match body {
        Some(body) => body.closed().await,
        None => left(caller).await,
    }
}

impl Stream {
    /// Reads the stream to its end; its last checkpoint. None if it broke off, or the
    /// caller has left.
    async fn run(
        mut self,
        exchange: &Exchange,
        head: &Bytes,
        mut rest: MessageReader,
        caller: &mut Caller,
    ) -> Option<SignedCheckpoint> {
        self.pass(caller).await.ok()?;
        let mut progress = Progress::now();
        loop {
            let segment = tokio::select! {
                segment = rest.segment() => segment,
                () = gone(&self.body, caller) => return None,
            };
            let reader = self.reader.take()?;
            let read = match segment {
                Ok((header, sealed)) => reader
                    .read(header, &sealed)
                    .map_err(|(reader, error)| (reader, ReadError::from(error))),
                Err(error) => Err((reader.back(), error)),
            };
            self.read += 1;
            match read {
                Ok(Read::Held(reader)) => self.reader = Some(reader),
                Ok(Read::Verified {
                    content,
                    checkpoint,
                    reader,
                }) => {
                    exchange.peer.verified(checkpoint.unverified().mark());
                    progress = Progress::now();
                    self.verified = self.read;
                    self.reader = Some(reader);
                    self.decoder.push(content.content());
                    drop(content);
                    self.pass(caller).await.ok()?;
                }
                // Agents do not re-key yet: this end has not asked for it.
                Ok(Read::Switch(_)) => {
                    self.broken().await;
                    return None;
                }
                Ok(Read::Final {
                    content,
                    checkpoint,
                }) => {
                    self.decoder.push(content.content());
                    drop(content);
                    let passed = self.pass(caller).await;
                    if passed.is_ok() && !self.decoder.is_done() {
                        self.broken().await;
                    }
                    return Some(checkpoint);
                }
                // The API broke it off, or its beginning is kept no longer: there is no more.
                Err((_, ReadError::Ended)) => {
                    self.broken().await;
                    return None;
                }
                // What was altered on its way is asked for again, as what was cut.
                Err((reader, error)) => {
                    tracing::debug!(%error, lane = exchange.lane.number, "a response broke off");
                    self.reader = Some(reader);
                    self.read = self.verified;
                    let again = tokio::select! {
                        again = self.again(exchange, head, &mut progress) => again,
                        () = gone(&self.body, caller) => return None,
                    };
                    match again {
                        Some(again) => rest = again,
                        None => {
                            self.broken().await;
                            return None;
                        }
                    }
                }
            }
        }
    }

    /// The same answer once more, up to where it was verified.
    async fn again(
        &self,
        exchange: &Exchange,
        head: &Bytes,
        progress: &mut Progress,
    ) -> Option<MessageReader> {
        'again: loop {
            let mut rest = exchange.again(head, progress).await?;
            for _ in 0..self.verified {
                if rest.segment().await.is_err() {
                    continue 'again;
                }
            }
            return Some(rest);
        }
    }

    /// Hands on what has been decoded.
    async fn pass(&mut self, caller: &mut Caller) -> Result<(), Over> {
        loop {
            let frame = match self.decoder.piece() {
                Ok(None) => return Ok(()),
                Ok(Some(Piece::Response(response))) => {
                    let (sender, receiver) = mpsc::channel(2);
                    self.body = Some(sender);
                    let body = Body::new(StreamBody::new(ReceiverStream::new(receiver)));
                    // The caller's patience may be over.
                    let caller = caller.take().ok_or(Over)?;
                    caller.send(Ok(response.map(|()| body))).map_err(|_| Over)?;
                    continue;
                }
                Ok(Some(Piece::Content(content))) => Frame::data(content),
                Ok(Some(Piece::End(trailers))) if trailers.is_empty() => continue,
                Ok(Some(Piece::End(trailers))) => Frame::trailers(trailers),
                Ok(Some(Piece::Request(_))) | Err(Malformed) => {
                    self.broken().await;
                    return Err(Over);
                }
            };
            let body = self.body.as_ref().ok_or(Over)?;
            body.send(Ok(frame)).await.map_err(|_| Over)?;
        }
    }

    /// The caller's response has no end.
    async fn broken(&self) {
        if let Some(body) = &self.body {
            // HTTP's server drops what it has not sent yet when a body breaks: what was
            // verified goes first, so that the caller sees a response that was cut.
            tokio::time::sleep(FLUSH).await;
            let cut = std::io::Error::other("the response was cut");
            let _ = body.send(Err(cut)).await;
        }
    }
}
