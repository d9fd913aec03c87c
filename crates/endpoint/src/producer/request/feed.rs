//! The rest of a request that is a stream, on its way to the API.

use std::{sync::Arc, time::Duration};

use armour_protocol::v2::{
    checkpoint::SignedCheckpoint,
    error::ContentError,
    message::Request as RequestSide,
    proxy::{Read, SegmentKind, StreamReader},
};
use bytes::Bytes;
use http_body::Frame;
use tokio_util::sync::CancellationToken;

use crate::{
    producer::{rekeying::Rekeying, turn::Turns},
    wire::{
        bhttp::decoder::{Decoder, Piece},
        handed_on,
        idle::{IdleTimer, REQUEST_IDLE},
        message::MessageReader,
        whole_body::End,
    },
};

/// When a request last went on, and how far its answer is.
#[derive(Clone)]
pub(super) struct Pace {
    pub request: IdleTimer,
    /// Cancelled once the API has begun to answer.
    pub answering: CancellationToken,
    /// Cancelled once it has answered.
    pub answered: CancellationToken,
}

impl Pace {
    pub fn start() -> Self {
        Self {
            request: IdleTimer::start(),
            answering: CancellationToken::new(),
            answered: CancellationToken::new(),
        }
    }

    /// Waits until the request has stood still for longer than it may.
    pub async fn too_slow(&self) {
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

/// What brings a stream's content to the API.
pub(super) struct Feed {
    pub decoder: Decoder,
    pub rest: MessageReader,
    /// How it is re-keyed.
    pub rekeying: Arc<Rekeying>,
    /// None once the API wants no more.
    pub sender: Option<handed_on::Sender>,
    /// How it ends, once that has come: it does when its sender's last word is verified.
    pub end: Option<End>,
    pub pace: Pace,
    pub turns: Turns,
}

impl Feed {
    /// Reads the stream to its end.
    pub async fn run(
        mut self,
        mut reader: Box<StreamReader<RequestSide>>,
    ) -> Option<SignedCheckpoint> {
        self.pass().await;
        loop {
            let read = match self.rest.segment().await {
                // Altered on its way, or cut: the consumer has no second copy of a stream.
                Ok((header, sealed)) => {
                    self.rekeying.count(sealed.len());
                    // What re-keys it adds nothing to it.
                    if header.kind == SegmentKind::Data {
                        self.pace.request.touch();
                    }
                    let read = reader.read(header, &sealed);
                    read.map_err(|(reader, error)| {
                        if error == ContentError::ForeignCheckpoint {
                            self.rekeying.foreign(reader.evidence());
                        }
                        error.into()
                    })
                }
                Err(error) => Err(error),
            };
            match read {
                Ok(Read::Held(more)) => reader = more,
                Ok(Read::Verified {
                    content,
                    checkpoint,
                    reader: more,
                }) => {
                    self.rekeying.peer.verified(checkpoint.unverified().mark());
                    self.take(content.content()).await;
                    reader = more;
                }
                // Its consumer has this end's word for the keys: if they are not here nobody
                // has signed it, and what its consumer sent in its place is lost.
                Ok(Read::Switch(switching)) => {
                    tracing::debug!(k = switching.k(), "a switch leads nowhere");
                    return None;
                }
                Ok(Read::Final {
                    content,
                    checkpoint,
                }) => {
                    self.rekeying.peer.verified(checkpoint.unverified().mark());
                    self.rekeying.request.close();
                    self.pace.request.touch();
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
                    self.end = Some(End::Whole(trailers));
                    continue;
                }
                Ok(Some(Piece::Reset(reason))) => {
                    self.end = Some(End::Reset(reason));
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
        self.turns.of_the_api();
        let taken = tokio::select! {
            taken = sender.send(frame) => taken.is_ok(),
            () = unwanted => false,
        };
        self.turns.of_the_caller();
        self.pace.request.touch();
        if !taken {
            self.sender = None;
        }
    }

    /// All of it has been verified.
    async fn finish(&mut self) {
        match self.end.take() {
            None => {}
            Some(End::Whole(trailers)) => {
                if !trailers.is_empty() {
                    self.hand_on(Frame::trailers(trailers)).await;
                }
                if let Some(sender) = self.sender.take() {
                    sender.finish();
                }
            }
            Some(End::Reset(reason)) => {
                if let Some(sender) = self.sender.take() {
                    sender.reset(reason);
                }
            }
        }
        self.turns.of_the_api();
    }
}
