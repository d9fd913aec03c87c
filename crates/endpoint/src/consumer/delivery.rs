//! Verified content on its way to the caller, as a response. Nothing else comes here.

use std::time::Duration;

use armour_protocol::v2::{
    body::Direction,
    checkpoint::SignedCheckpoint,
    error::ContentError,
    message::Response as ResponseSide,
    proxy::{Arrived, Incoming, Read, StreamReader},
    retry::Fate,
};
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::Frame;

use super::{
    fate::Failure,
    in_flight::{Caller, Exchange, Progress, left, tell},
    transport::Answer,
};
use crate::{
    metrics::CutReason,
    wire::{
        bhttp::{Decoder, Malformed, Piece},
        handed_on::{self, READER_WAIT},
        message::{MessageReader, ReadError},
        whole_body::whole_body,
    },
};

/// How long a message's first segment may take to come whole.
const FIRST_TIMEOUT: Duration = Duration::from_secs(30);
/// For so long what has been verified may take to be sent before a response is cut.
const FLUSH: Duration = Duration::from_millis(50);

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
            exchange.streams();
            let mut decoder = Decoder::default();
            decoder.push(first.content());
            drop(first);
            let stream = Stream {
                decoder,
                reader: Some(reader),
                body: None,
                end: None,
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
    body: Option<handed_on::Sender>,
    /// Its trailers, once they have come: it ends when its sender's last word is verified.
    end: Option<HeaderMap>,
    /// Segments read.
    read: u64,
    /// Segments up to the last that was verified.
    verified: u64,
}

/// The caller wants no more, or the response is none.
struct Over;

/// Waits until the caller has left, who has the head if there is a body.
async fn gone(body: &Option<handed_on::Sender>, caller: &mut Caller) {
    match body {
        Some(body) => body.is_unwanted().await,
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
        let cut = exchange.cut();
        tokio::pin!(cut);
        loop {
            let segment = tokio::select! {
                segment = rest.segment() => segment,
                () = gone(&self.body, caller) => return None,
                reason = &mut cut => return self.cut(reason, caller).await,
            };
            let reader = self.reader.take()?;
            let read = match segment {
                Ok((header, sealed)) => {
                    let traffic = &exchange.rekeying.traffic;
                    traffic.count(Direction::Response, sealed.len());
                    reader
                        .read(header, &sealed)
                        .map_err(|(reader, error)| (reader, ReadError::from(error)))
                }
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
                // The sub-receipt, whose keys these are, comes by another connection.
                Ok(Read::Switch(switching)) => {
                    let epoch = tokio::select! {
                        epoch = exchange.rekeying.response.take(switching.k()) => epoch,
                        () = gone(&self.body, caller) => return None,
                        reason = &mut cut => return self.cut(reason, caller).await,
                    };
                    let switched = match epoch {
                        Some(epoch) => switching.with(&epoch),
                        None => Err((switching, ContentError::Switch)),
                    };
                    match switched {
                        Ok(reader) => {
                            self.verified = self.read;
                            self.reader = Some(reader);
                        }
                        // Nobody has signed it: the genuine one is asked for.
                        Err((switching, error)) => {
                            tracing::debug!(%error, "a switch leads nowhere");
                            self.reader = Some(switching.back());
                            self.read = self.verified;
                            let again = tokio::select! {
                                again = self.again(exchange, head, &mut progress) => again,
                                () = gone(&self.body, caller) => return None,
                                reason = &mut cut => return self.cut(reason, caller).await,
                            };
                            let Some(again) = again else {
                                self.broken().await;
                                return None;
                            };
                            rest = again;
                        }
                    }
                }
                Ok(Read::Final {
                    content,
                    checkpoint,
                }) => {
                    exchange.peer.verified(checkpoint.unverified().mark());
                    exchange.rekeying.response.close();
                    self.decoder.push(content.content());
                    drop(content);
                    if self.pass(caller).await.is_ok() {
                        self.finish().await;
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
                        reason = &mut cut => return self.cut(reason, caller).await,
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

    /// This end ends it.
    async fn cut<T>(&mut self, reason: CutReason, caller: &mut Caller) -> Option<T> {
        tell(caller, Err(Failure::cut(reason)));
        self.broken().await;
        None
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
                match rest.segment().await {
                    Ok(_) => {}
                    // That part of it is kept no longer.
                    Err(ReadError::Ended) => return None,
                    Err(_) => continue 'again,
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
                    let (sender, body) = handed_on::body();
                    self.body = Some(sender);
                    // The caller's patience may be over.
                    let caller = caller.take().ok_or(Over)?;
                    caller.send(Ok(response.map(|()| body))).map_err(|_| Over)?;
                    continue;
                }
                Ok(Some(Piece::Content(content))) => Frame::data(content),
                Ok(Some(Piece::End(trailers))) => {
                    self.end = Some(trailers);
                    continue;
                }
                Ok(Some(Piece::Request(_))) | Err(Malformed) => {
                    self.broken().await;
                    return Err(Over);
                }
            };
            self.hand_on(frame).await?;
        }
    }

    /// Hands a frame on. A caller that does not read holds a lane for no longer than this.
    async fn hand_on(&self, frame: Frame<Bytes>) -> Result<(), Over> {
        let body = self.body.as_ref().ok_or(Over)?;
        let taken = tokio::time::timeout(READER_WAIT, body.send(frame)).await;
        taken.map_err(|_| Over)?.map_err(|_| Over)
    }

    /// All of it has been verified.
    async fn finish(&mut self) {
        let Some(trailers) = self.end.take() else {
            return self.broken().await;
        };
        let handed_on = match trailers.is_empty() {
            true => Ok(()),
            false => self.hand_on(Frame::trailers(trailers)).await,
        };
        if let (Ok(()), Some(body)) = (handed_on, self.body.take()) {
            body.finish();
        }
    }

    /// The caller's response has no end.
    async fn broken(&mut self) {
        // HTTP's server drops what it has not sent yet when a body breaks: what was
        // verified goes first, so that the caller sees a response that was cut.
        tokio::time::sleep(FLUSH).await;
        self.body = None;
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::sync::oneshot;

    use super::{super::in_flight::Outcome, *};
    use crate::wire::{bhttp, content::Content};

    /// A stream of a response with this much content, none of which is passed yet.
    fn stream(pieces: usize) -> Stream {
        let (parts, ()) = Response::new(()).into_parts();
        let mut content = Content::default();
        bhttp::put_response(&parts, &mut content);
        for _ in 0..pieces {
            bhttp::put_content(b"verified", &mut content);
        }
        let mut decoder = Decoder::default();
        decoder.push(content.as_slice());
        Stream {
            decoder,
            reader: None,
            body: None,
            end: None,
            read: 1,
            verified: 1,
        }
    }

    fn caller() -> (Caller, oneshot::Receiver<Outcome>) {
        let (caller, outcome) = oneshot::channel();
        (Some(caller), outcome)
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_does_not_read_its_response_is_given_up_after_a_while() {
        let (mut caller, outcome) = caller();
        let mut stream = stream(20);
        let passed = stream.pass(&mut caller);
        let passed = tokio::time::timeout(READER_WAIT * 2, passed).await;
        assert!(passed.expect("it waits without an end").is_err());
        drop(stream);
        let body = outcome.await.unwrap().ok().unwrap().into_body();
        assert!(body.collect().await.is_err(), "it has no end");
    }

    #[tokio::test]
    async fn a_response_whose_stream_goes_without_its_last_word_is_cut() {
        for whole in [true, false] {
            let (mut caller, outcome) = caller();
            let mut stream = stream(1);
            let mut end = Content::default();
            bhttp::put_end(&HeaderMap::new(), &mut end);
            stream.decoder.push(end.as_slice());
            assert!(stream.pass(&mut caller).await.is_ok());
            if whole {
                stream.finish().await;
            }
            drop(stream);
            let body = outcome.await.unwrap().ok().unwrap().into_body();
            let body = body.collect().await.map(|body| body.to_bytes());
            assert_eq!(body.ok().as_deref(), whole.then_some(&b"verified"[..]));
        }
    }
}
