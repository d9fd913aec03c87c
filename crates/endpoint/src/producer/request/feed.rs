//! The rest of a request that is a stream, on its way to the API.

use std::time::Duration;

use armour_protocol::v2::{
    checkpoint::SignedCheckpoint,
    message::Request as RequestSide,
    proxy::{Read, StreamReader},
};
use bytes::Bytes;
use http_body::Frame;
use tokio_util::sync::CancellationToken;

use crate::{
    producer::turn::Turns,
    wire::{
        bhttp::decoder::{Decoder, Piece},
        handed_on,
        idle::{IdleTimer, REQUEST_IDLE},
        keyring::Keyring,
        message::MessageReader,
        stream::PeerMark,
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
    pub peer: PeerMark,
    /// What the stream may switch to.
    pub keys: Keyring<RequestSide>,
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
                    let k = switching.k();
                    let epoch = self.keys.get(k).await?;
                    reader = switching.with(&epoch).ok()?;
                    self.keys.forget_until(k);
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
