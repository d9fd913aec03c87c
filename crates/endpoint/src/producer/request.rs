//! A request that has been begun, on its way to the API: only verified content of it.

use std::time::Duration;

use armour_protocol::v2::{
    checkpoint::SignedCheckpoint,
    message::Request as RequestSide,
    proxy::{Arrived, Read, StreamReader},
};
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body::Frame;
use tokio::sync::oneshot;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::rekeying::Rekeying;
use crate::wire::{
    bhttp::{Decoder, Piece},
    handed_on,
    idle::{IdleTimer, REQUEST_IDLE},
    keyring::Keyring,
    message::MessageReader,
    stream::{Broken, PeerMark},
    whole_body::whole_body,
};

/// A request for the API.
pub struct Opened {
    /// None if it is not one.
    pub request: Option<Request<Body>>,
    /// Cancelled once all of it is known.
    pub sent: CancellationToken,
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

/// When a request last went on, and how far its answer is.
#[derive(Clone)]
struct Pace {
    request: IdleTimer,
    /// Cancelled once the API has begun to answer.
    answering: CancellationToken,
    /// Cancelled once it has answered.
    answered: CancellationToken,
}

impl Pace {
    fn start() -> Self {
        Self {
            request: IdleTimer::start(),
            answering: CancellationToken::new(),
            answered: CancellationToken::new(),
        }
    }

    /// Waits until the request has stood still for longer than it may.
    async fn too_slow(&self) {
        tokio::select! {
            biased;
            () = self.answering.cancelled() => self.answered.cancelled().await,
            () = self.request.idle_for(REQUEST_IDLE) => return,
        }
        self.request.idle_for(REQUEST_IDLE).await;
    }
}

/// How long an API that has answered may take for more of its request.
const UNWANTED: Duration = Duration::from_secs(10);

/// Reads verified content as a request. The rest of a stream is read to its end, whether
/// the API wants it or not: the lane goes on after it.
pub fn open(arrived: Arrived<RequestSide>, rest: MessageReader, rekeying: &Rekeying) -> Opened {
    let sent = CancellationToken::new();
    let mut decoder = Decoder::default();
    match arrived {
        Arrived::Whole(content) => {
            decoder.push(content.content());
            drop(content);
            sent.cancel();
            Opened {
                request: whole(decoder),
                sent,
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
            let (sender, body) = handed_on::body();
            let (ended, last) = oneshot::channel();
            let pace = Pace::start();
            let feed = Feed {
                decoder,
                rest,
                peer: rekeying.peer.clone(),
                keys: rekeying.request.clone(),
                sender: head.is_some().then_some(sender),
                end: None,
                pace: pace.clone(),
            };
            let guard = sent.clone().drop_guard();
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
                drop(guard);
            });
            Opened {
                request: head.map(|head| head.map(|()| body)),
                sent,
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
    let body = whole_body(decoder)?;
    Some(head.map(|()| body))
}

/// What brings a stream's content to the API.
struct Feed {
    decoder: Decoder,
    rest: MessageReader,
    peer: PeerMark,
    keys: Keyring<RequestSide>,
    /// None once the API wants no more.
    sender: Option<handed_on::Sender>,
    /// Its trailers, once they have come: it ends when its sender's last word is verified.
    end: Option<HeaderMap>,
    pace: Pace,
}

impl Feed {
    /// Reads the stream to its end.
    async fn run(mut self, mut reader: Box<StreamReader<RequestSide>>) -> Option<SignedCheckpoint> {
        self.pass().await;
        loop {
            let read = match self.rest.segment().await {
                // Altered on its way, or cut: the consumer has no second copy of a stream.
                Ok((header, sealed)) => {
                    let read = reader.read(header, &sealed);
                    read.map_err(|(_, error)| error.into())
                }
                Err(error) => Err(error),
            };
            if !matches!(read, Ok(Read::Switch(_))) {
                self.pace.request.touch();
            }
            match read {
                Ok(Read::Held(more)) => reader = more,
                Ok(Read::Verified {
                    content,
                    checkpoint,
                    reader: more,
                }) => {
                    self.peer.verified(checkpoint.unverified().mark());
                    self.take(content.content()).await;
                    reader = more;
                }
                // Its consumer has this end's word for the keys: they are here.
                Ok(Read::Switch(switching)) => {
                    let epoch = self.keys.take(switching.k()).await?;
                    reader = switching.with(&epoch).ok()?;
                }
                Ok(Read::Final {
                    content,
                    checkpoint,
                }) => {
                    self.peer.verified(checkpoint.unverified().mark());
                    self.keys.close();
                    self.take(content.content()).await;
                    self.finish().await;
                    return Some(checkpoint);
                }
                // The API's call is aborted: its request has no end.
                Err(error) => {
                    tracing::debug!(%error, "a request broke off");
                    return None;
                }
            }
        }
    }

    async fn take(&mut self, content: &[u8]) {
        if self.sender.is_some() {
            self.decoder.push(content);
            self.pass().await;
        }
    }

    /// Hands on what has been decoded.
    async fn pass(&mut self) {
        while self.sender.is_some() {
            let frame = match self.decoder.piece() {
                Ok(Some(Piece::Content(bytes))) => Frame::data(bytes),
                Ok(Some(Piece::End(trailers))) => {
                    self.end = Some(trailers);
                    continue;
                }
                Ok(None) => return,
                Ok(Some(_)) | Err(_) => {
                    self.sender = None;
                    return;
                }
            };
            self.hand_on(frame).await;
        }
    }

    /// Hands a frame on, if the API still wants it.
    async fn hand_on(&mut self, frame: Frame<Bytes>) {
        let Some(sender) = &self.sender else {
            return;
        };
        let unwanted = async {
            self.pace.answered.cancelled().await;
            tokio::time::sleep(UNWANTED).await;
        };
        let taken = tokio::select! {
            taken = sender.send(frame) => taken.is_ok(),
            () = unwanted => false,
        };
        self.pace.request.touch();
        if !taken {
            self.sender = None;
        }
    }

    /// All of it has been verified.
    async fn finish(&mut self) {
        let Some(trailers) = self.end.take() else {
            return;
        };
        if !trailers.is_empty() {
            self.hand_on(Frame::trailers(trailers)).await;
        }
        if let Some(sender) = self.sender.take() {
            sender.finish();
        }
    }
}

#[cfg(test)]
mod tests {
    use armour_protocol::v2::time::ProducerTime;
    use ed25519_dalek::SigningKey;
    use http_body_util::BodyExt;

    use super::*;
    use crate::{
        testing::{Accept, Lane},
        wire::{bhttp, content::Content},
    };

    /// A stream whose first content holds the head.
    fn upload() -> Accept {
        let (parts, ()) = Request::post("/upload").body(()).unwrap().into_parts();
        let mut head = Content::default();
        bhttp::put_request(&parts, &mut head);
        Lane::open().stream(head.as_slice())
    }

    fn piece(content: &[u8]) -> Content {
        let mut piece = Content::default();
        bhttp::put_content(content, &mut piece);
        piece
    }

    async fn opened(call: Accept) -> Opened {
        let rest = call.reader();
        opened_from(call, rest).await
    }

    async fn opened_from(call: Accept, mut rest: MessageReader) -> Opened {
        let (header, sealed) = rest.segment().await.unwrap();
        let request = call.pending.receive(header, &sealed);
        let request = request.map_err(|(_, error)| error).unwrap();
        let Ok((_, arrived)) = request.begin(ProducerTime(0)) else {
            panic!("it is in time");
        };
        open(arrived, rest, &Rekeying::new())
    }

    #[tokio::test]
    async fn a_stream_comes_whole_and_says_that_it_did() {
        let mut call = upload();
        call.push(piece(b"one").as_slice());
        call.checkpoint(false, None);
        let mut end = piece(b"two");
        bhttp::put_end(&HeaderMap::new(), &mut end);
        call.push(end.as_slice());
        call.checkpoint(true, None);
        let opened = opened(call).await;
        let body = opened.request.unwrap().into_body();
        assert_eq!(&body.collect().await.unwrap().to_bytes()[..], b"onetwo");
        let end = opened.end.unwrap().after_the_answer().await;
        assert!(end.unwrap().unverified().is_final());
        opened.sent.cancelled().await;
    }

    /// Whoever holds the one-time key chooses what follows a genuine head; but nothing of it
    /// reaches the API, whose request has no end.
    #[tokio::test]
    async fn p1_content_that_was_not_signed_never_reaches_the_api() {
        let mut call = upload();
        call.push(piece(b"genuine").as_slice());
        call.checkpoint(false, None);
        call.push(piece(&[6; 300_000]).as_slice());
        call.checkpoint(true, Some(&SigningKey::from_bytes(&[66; 32])));
        let opened = opened(call).await;
        let mut body = opened.request.unwrap().into_body();
        let mut seen = Vec::new();
        let broken = loop {
            match body.frame().await {
                Some(Ok(frame)) => seen.extend_from_slice(&frame.into_data().unwrap()),
                Some(Err(_)) => break true,
                None => break false,
            }
        };
        assert!(broken);
        assert_eq!(seen, b"genuine");
        assert!(opened.end.unwrap().after_the_answer().await.is_err());
    }

    #[tokio::test]
    async fn a_stream_that_is_cut_has_no_end() {
        let mut call = upload();
        call.push(piece(b"never vouched for").as_slice());
        let opened = opened(call).await;
        let body = opened.request.unwrap().into_body();
        assert!(body.collect().await.is_err());
        assert!(opened.end.unwrap().after_the_answer().await.is_err());
    }

    /// Its sender says that it is whole by its last checkpoint alone.
    #[tokio::test]
    async fn an_end_that_is_not_in_the_last_checkpoint_is_none() {
        let mut call = upload();
        let mut end = piece(b"all");
        bhttp::put_end(&HeaderMap::new(), &mut end);
        call.push(end.as_slice());
        call.checkpoint(false, None);
        let opened = opened(call).await;
        let body = opened.request.unwrap().into_body();
        assert!(body.collect().await.is_err());
    }

    /// A stream whose first content holds the head, and whose caller sends no more.
    async fn stalled() -> Opened {
        let call = upload();
        let wire = futures::stream::once(std::future::ready(Ok::<_, std::convert::Infallible>(
            call.wire.clone(),
        )));
        let wire = futures::StreamExt::chain(wire, futures::stream::pending());
        opened_from(call, MessageReader::new(Body::from_stream(wire))).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_stands_still_ends_before_its_answer_and_after_it() {
        let opened = stalled().await;
        let body = opened.request.unwrap().into_body().collect();
        let body = tokio::time::timeout(REQUEST_IDLE * 2, body).await;
        assert!(body.expect("it waits without an end").is_err());
        let end = stalled().await.end.unwrap().after_the_answer();
        let end = tokio::time::timeout(REQUEST_IDLE * 2, end).await;
        assert!(end.expect("it waits without an end").is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_may_stand_still_while_its_answer_flows() {
        let opened = stalled().await;
        opened.end.as_ref().unwrap().answer_begins();
        let body = opened.request.unwrap().into_body().collect();
        assert!(tokio::time::timeout(REQUEST_IDLE * 10, body).await.is_err());
    }

    /// An API that has answered need not read the rest; the lane goes on after it.
    #[tokio::test]
    async fn what_the_api_does_not_want_is_read_to_its_end() {
        let mut call = upload();
        for _ in 0..20 {
            call.push(piece(&[1; 60_000]).as_slice());
            call.checkpoint(false, None);
        }
        let mut end = Content::default();
        bhttp::put_end(&HeaderMap::new(), &mut end);
        call.push(end.as_slice());
        call.checkpoint(true, None);
        let opened = opened(call).await;
        drop(opened.request);
        assert!(opened.end.unwrap().after_the_answer().await.is_ok());
    }
}
