//! Opened content on its way to the caller, as a response.

use axum::body::Body;
use bytes::Bytes;
use http::Response;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use super::pair::ConsumerPair;
use crate::wire::{
    bhttp::{Decoder, Malformed, Piece},
    problem::Refusal,
};

/// What came back.
pub enum Incoming {
    /// An empty response.
    Empty,
    /// A response, its content still coming.
    Response(Response<Body>),
}

/// Where the answer goes, until it has gone.
pub type Answer = Option<oneshot::Sender<Result<Incoming, Refusal>>>;

/// What came of passing on a piece.
enum Passed {
    /// There may be more.
    On,
    /// There is no more for now.
    Enough,
    /// Nobody wants more.
    Over,
}

/// Turns opened content into the caller's response.
#[derive(Default)]
pub struct Delivery {
    decoder: Decoder,
    body: Option<mpsc::Sender<Result<http_body::Frame<Bytes>, std::io::Error>>>,
}

impl Delivery {
    /// Takes content; returns whether anybody still wants more.
    pub async fn take(&mut self, content: &[u8], answer: &mut Answer) -> bool {
        self.decoder.push(content);
        loop {
            match self.decoder.piece() {
                Ok(Some(Piece::Response(response))) => {
                    // A response that is known to have no content says so in its head, as
                    // gRPC's that are trailers alone must.
                    let next = self.decoder.piece();
                    let ended = matches!(&next, Ok(Some(Piece::End(none))) if none.is_empty());
                    let body = match ended {
                        true => Body::empty(),
                        false => self.stream(),
                    };
                    let response = response.map(|()| body);
                    // Nobody asked, or the caller's patience was over.
                    let Some(answer) = answer.take() else {
                        return false;
                    };
                    if answer.send(Ok(Incoming::Response(response))).is_err() {
                        return false;
                    }
                    if ended {
                        continue;
                    }
                    match self.pass(next).await {
                        Passed::On => {}
                        Passed::Enough => return true,
                        Passed::Over => return false,
                    }
                }
                piece => match self.pass(piece).await {
                    Passed::On => {}
                    Passed::Enough => return true,
                    Passed::Over => return false,
                },
            }
        }
    }

    /// Passes on a piece that is not the head.
    async fn pass(&self, piece: Result<Option<Piece>, Malformed>) -> Passed {
        let sent = match piece {
            Ok(Some(Piece::Content(content))) => self.frame(http_body::Frame::data(content)).await,
            Ok(Some(Piece::End(trailers))) => {
                trailers.is_empty() || self.frame(http_body::Frame::trailers(trailers)).await
            }
            Ok(None) => return Passed::Enough,
            Ok(Some(Piece::Request(_) | Piece::Response(_))) | Err(Malformed) => {
                let malformed = std::io::Error::other("malformed response");
                self.send(Err(malformed)).await;
                false
            }
        };
        match sent {
            true => Passed::On,
            false => Passed::Over,
        }
    }

    /// The body that later pieces are passed on in.
    fn stream(&mut self) -> Body {
        let (sender, receiver) = mpsc::channel(2);
        self.body = Some(sender);
        Body::new(http_body_util::StreamBody::new(ReceiverStream::new(
            receiver,
        )))
    }

    /// The last segment has been taken.
    pub fn finish(self, consumer: &ConsumerPair, answer: &mut Answer) {
        if let Some(answer) = answer.take() {
            let _ = answer.send(if self.decoder.is_blank() {
                Ok(Incoming::Empty)
            } else {
                Err(consumer.outcome_unknown())
            });
        }
    }

    /// The rest will never come.
    pub async fn break_off(self, consumer: &ConsumerPair, answer: &mut Answer) {
        self.send(Err(std::io::Error::other("the response was cut")))
            .await;
        if let Some(answer) = answer.take() {
            let _ = answer.send(Err(consumer.outcome_unknown()));
        }
    }

    async fn frame(&self, frame: http_body::Frame<Bytes>) -> bool {
        self.send(Ok(frame)).await
    }

    async fn send(&self, item: Result<http_body::Frame<Bytes>, std::io::Error>) -> bool {
        match &self.body {
            Some(body) => body.send(item).await.is_ok(),
            None => false,
        }
    }
}
