//! Verified content on its way to the caller, as a response. Nothing else comes here.

use std::time::Duration;

use armour_protocol::v2::{
    body::Direction,
    checkpoint::SignedCheckpoint,
    error::ContentError,
    message::Response as ResponseSide,
    mode::Reason,
    proxy::{Arrived, Incoming, Read, SegmentKind, StreamReader},
    retry::Fate,
};
use bytes::Bytes;
use tokio::time::Instant;

use super::{
    caller::{Content, Over, Recipient},
    elsewhere::GivenUp,
    fate::Failure,
    in_flight::{Caller, Exchange, LEFT, Outcome, Progress, left, tell},
    rekeying::foreign_checkpoint,
    transport::Answer,
};
use crate::{
    metrics::CutReason,
    wire::{
        bhttp::{
            Malformed,
            decoder::{Decoder, Piece},
        },
        message::{MessageReader, ReadError},
        whole_body::{End, WholeBody},
    },
};

/// How long a message's first segment may take to come whole.
const FIRST_TIMEOUT: Duration = Duration::from_secs(30);

/// What a response begins with, and in how many segments.
type First = (Arrived<ResponseSide>, u64);

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
    exchange.is_answered();
    let arrived = tokio::select! {
        arrived = arrival(&exchange, incoming, &head, &mut rest) => arrived.ok_or(GivenUp(None)),
        () = left(caller) => Err(GivenUp(None)),
        given_up = exchange.is_better_elsewhere(), if caller.is_some() => Err(given_up),
    };
    match arrived {
        // It was begun; how far it ran nobody says.
        Err(GivenUp(permit)) => {
            tell(caller, Err(exchange.unanswered().await.with(permit)));
        }
        Ok((Arrived::Whole(content), _)) => {
            let mut decoder = Decoder::default();
            decoder.push(content.content());
            drop(content);
            let outcome = whole(decoder, &exchange.recipient);
            if exchange.upload.is_none() {
                exchange.finish(None).await;
                drop(exchange);
                return tell(caller, outcome);
            }
            // The response may end what the request waits for.
            tell(caller, outcome);
            exchange.finish(None).await;
        }
        Ok((Arrived::Stream(first, reader), segments)) => {
            exchange.streams();
            exchange.lane.streams();
            let mut decoder = Decoder::default();
            decoder.push(first.content());
            drop(first);
            let reader = reader.follow(exchange.rekeying.response.epochs());
            let reader = (Some(reader), segments);
            let stream = Stream::new(decoder, reader, exchange.recipient.clone());
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
) -> Option<First> {
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

/// The first segment's content, verified, and how many segments that took.
async fn first(
    exchange: &Exchange,
    incoming: &Incoming<ResponseSide>,
    rest: &mut MessageReader,
) -> Result<First, ReadError> {
    let segment = tokio::time::timeout(FIRST_TIMEOUT, rest.segment());
    let (header, sealed) = segment.await.map_err(|_| ReadError::Cut)??;
    let context = &exchange.bundle().context;
    let traffic = &exchange.rekeying.traffic;
    traffic.count(Direction::Response, sealed.len());
    if header.kind != SegmentKind::Switch {
        let arrived = incoming.open(header, &sealed)?.verify(context)?;
        return Ok((arrived, 1));
    }
    // Its streams were re-keyed before it began. Nobody has signed the switch: what it leads to
    // shows whether it is genuine.
    let switch = incoming.switch(header, &sealed)?;
    let (keys, k) = (&exchange.rekeying.response, switch.k());
    let comes = tokio::time::timeout(FIRST_TIMEOUT, keys.comes(k)).await;
    let comes = comes.map_err(|_| ReadError::Cut)?;
    if !comes {
        return Err(ContentError::Switch.into());
    }
    let incoming = keys
        .epochs()
        .with(k, |epoch| incoming.after(&switch, epoch));
    let incoming = incoming.ok_or(ContentError::Switch)??;
    let segment = tokio::time::timeout(FIRST_TIMEOUT, rest.segment());
    let (header, sealed) = segment.await.map_err(|_| ReadError::Cut)??;
    traffic.count(Direction::Response, sealed.len());
    let arrived = incoming.open(header, &sealed)?.verify(context)?;
    Ok((arrived, 2))
}

/// A response that came whole, after interim ones it may be.
fn whole(mut decoder: Decoder, recipient: &Recipient) -> Outcome {
    let none = || Failure::unanswered(Fate::Unknown);
    loop {
        match decoder.piece() {
            Ok(Some(Piece::Interim(response))) => recipient.interim(response),
            Ok(Some(Piece::Response(response))) => {
                let body = WholeBody::read(decoder).ok_or_else(none)?;
                return recipient.whole(response, body).ok_or_else(untrue);
            }
            _ => return Err(none()),
        }
    }
}

/// The producer has answered, with another length than it tells.
fn untrue() -> Failure {
    Failure::aborted(Reason::CONTENT)
}

/// A response that comes piece by piece.
struct Stream {
    decoder: Decoder,
    reader: Option<Box<StreamReader<ResponseSide>>>,
    recipient: Recipient,
    /// Where the caller reads, once it has the head.
    body: Option<Content>,
    /// How it ends, once that has come: it does when its sender's last word is verified.
    end: Option<End>,
    /// When it is given up, since the caller has left while its request went on: its end is
    /// told to the API, which may conclude the call.
    leaves: Option<Instant>,
    /// Segments read.
    read: u64,
    /// Segments up to the last that was verified.
    verified: u64,
}

/// Waits until the caller has left, who has the head if there is a body.
async fn gone(body: &Option<Content>, leaves: Option<Instant>, caller: &mut Caller) {
    match (leaves, body) {
        (Some(leaves), _) => tokio::time::sleep_until(leaves).await,
        (None, Some(body)) => body.is_unwanted().await,
        (None, None) => left(caller).await,
    }
}

impl Stream {
    fn new(
        decoder: Decoder,
        (reader, segments): (Option<Box<StreamReader<ResponseSide>>>, u64),
        recipient: Recipient,
    ) -> Self {
        Self {
            decoder,
            reader,
            recipient,
            body: None,
            end: None,
            leaves: None,
            read: segments,
            verified: segments,
        }
    }

    /// Reads the stream to its end; its last checkpoint. None if it broke off, or the
    /// caller has left.
    async fn run(
        mut self,
        exchange: &Exchange,
        head: &Bytes,
        mut rest: MessageReader,
        caller: &mut Caller,
    ) -> Option<SignedCheckpoint> {
        self.pass_on(exchange, caller).await?;
        let mut progress = Progress::now();
        let cut = exchange.cut();
        tokio::pin!(cut);
        loop {
            let segment = tokio::select! {
                segment = rest.segment() => segment,
                () = gone(&self.body, self.leaves, caller) => {
                    self.has_left(exchange)?;
                    continue;
                }
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
                    self.pass_on(exchange, caller).await?;
                }
                // The sub-receipt, whose keys these are, comes by another connection.
                Ok(Read::Switch(switching)) => {
                    let keys = &exchange.rekeying.response;
                    let comes = tokio::select! {
                        comes = keys.comes(switching.k()) => comes,
                        () = gone(&self.body, self.leaves, caller) => return None,
                        reason = &mut cut => return self.cut(reason, caller).await,
                    };
                    let switched = match comes {
                        true => switching.go_on(),
                        false => Err((switching.back(), ContentError::Switch)),
                    };
                    match switched {
                        Ok(reader) => self.reader = Some(reader),
                        // Nobody has signed it: the genuine one is asked for.
                        Err((reader, error)) => {
                            tracing::debug!(%error, "a switch leads nowhere");
                            self.reader = Some(reader);
                            self.read = self.verified;
                            let again = tokio::select! {
                                again = self.again(exchange, head, &mut progress) => again,
                                () = gone(&self.body, self.leaves, caller) => return None,
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
                Err((reader, ReadError::Content(ContentError::ForeignCheckpoint))) => {
                    let (bundle, lane) = (exchange.bundle(), exchange.lane.id());
                    foreign_checkpoint(&exchange.consumer, bundle, lane, reader.evidence());
                    self.broken().await;
                    return None;
                }
                // Its sender ended it there, or its beginning is kept no longer: there is no more.
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
                        () = gone(&self.body, self.leaves, caller) => return None,
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

    /// The caller wants no more. The end of a request that went on is told to the API, which may
    /// conclude the call; else there is nothing to wait for.
    fn has_left(&mut self, exchange: &Exchange) -> Option<()> {
        if self.leaves.is_some() || exchange.upload.is_none() {
            return None;
        }
        self.body = None;
        self.leaves = Some(Instant::now() + LEFT);
        Some(())
    }

    /// Hands on what has been decoded; none if the call is to be given up.
    async fn pass_on(&mut self, exchange: &Exchange, caller: &mut Caller) -> Option<()> {
        match self.pass(caller).await {
            Ok(()) => Some(()),
            Err(Over) => self.has_left(exchange),
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
            match self.decoder.piece() {
                Ok(None) => return Ok(()),
                Ok(Some(Piece::Interim(response))) => self.recipient.interim(response),
                Ok(Some(Piece::Response(response))) => {
                    let Ok((body, response)) = self.recipient.begin(response) else {
                        tell(caller, Err(untrue()));
                        return Err(Over);
                    };
                    self.body = Some(body);
                    // The caller's patience may be over.
                    let caller = caller.take().ok_or(Over)?;
                    caller.send(Ok(response)).map_err(|_| Over)?;
                }
                Ok(Some(Piece::Content(content))) => match &mut self.body {
                    Some(body) => body.put(content).await?,
                    None if self.leaves.is_some() => {}
                    None => return Err(Over),
                },
                Ok(Some(Piece::End(trailers))) => self.end = Some(End::Whole(trailers)),
                Ok(Some(Piece::Reset(reason))) => self.end = Some(End::Reset(reason)),
                Ok(Some(Piece::Request(_))) | Err(Malformed) => {
                    self.broken().await;
                    return Err(Over);
                }
            }
        }
    }

    /// All of it has been verified.
    async fn finish(&mut self) {
        match (self.end.take(), self.body.take()) {
            (Some(end), Some(body)) => body.end(end).await,
            (None, Some(body)) => body.broken(None).await,
            (_, None) => {}
        }
    }

    /// The caller's response has no end.
    async fn broken(&mut self) {
        if let Some(body) = self.body.take() {
            body.broken(None).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Response};
    use http_body_util::BodyExt;
    use tokio::sync::oneshot;

    use super::*;
    use crate::wire::{bhttp, content::Content, handed_on::READER_WAIT};

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
        Stream::new(decoder, (None, 1), Recipient::default())
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
