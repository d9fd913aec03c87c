//! What an answer's delivery has to know of its caller, and where its parts go.

use armour_listener::Interim;
use axum::{body::Body, extract::Request};
use bytes::Bytes;
use futures::StreamExt;
use h2::Reason;
use http::{HeaderMap, Method, Response, StatusCode, Version};
use http_body::Frame;
use http_body_util::StreamBody;
use std::time::Duration;

use crate::wire::{
    grpc,
    handed_on::{self, READER_WAIT},
    length::{Left, NoLength},
    whole_body::{End, WholeBody, whole},
};

/// For so long what has been verified may take to be sent before a response is cut.
const FLUSH: Duration = Duration::from_millis(50);

/// Whom an answer is for.
#[derive(Clone, Default)]
pub struct Recipient {
    /// Where interim responses go, if they are taken.
    interim: Option<Interim>,
    http2: bool,
    head: bool,
}

impl Recipient {
    /// Whoever sent a request.
    pub fn of(request: &Request) -> Self {
        Self {
            interim: request.extensions().get().cloned(),
            http2: request.version() == Version::HTTP_2,
            head: request.method() == Method::HEAD,
        }
    }

    /// Hands an interim response on.
    pub fn interim(&self, response: Response<()>) {
        if let Some(interim) = &self.interim {
            let (head, ()) = response.into_parts();
            interim.send(head.status, head.headers);
        }
    }

    /// The content of its request is awaited: the API says when it may come.
    pub fn withhold_continue(&self) {
        if let Some(interim) = &self.interim {
            interim.withhold_continue();
        }
    }

    /// What a response's content may be.
    fn content(&self, response: &Response<()>) -> Result<Left, NoLength> {
        let bodiless = self.head || response.status() == StatusCode::NOT_MODIFIED;
        Left::of(response.headers(), bodiless)
    }

    /// Whether a response that breaks off can say so by gRPC's trailers.
    fn is_grpc(&self, response: &Response<()>) -> bool {
        self.http2 && grpc::is_response(response.headers())
    }

    /// A response that came whole; none if it is not as long as it tells.
    pub fn whole(&self, response: Response<()>, body: WholeBody) -> Option<Response<Body>> {
        let mut left = self.content(&response).ok()?;
        let fits = usize::try_from(body.length()).is_ok_and(|length| left.take(length));
        let WholeBody { pieces, end } = body;
        let is_grpc = self.is_grpc(&response);
        let body = match end {
            End::Whole(_) if !fits || !left.may_end() => return None,
            _ if !fits => return None,
            End::Whole(trailers) => whole(pieces, trailers),
            End::Reset(reason) if is_grpc => whole(pieces, grpc::broken_off(Some(reason))),
            End::Reset(reason) => cut(pieces, reason),
        };
        Some(response.map(|()| body))
    }

    /// A response whose content comes piece by piece.
    ///
    /// # Errors
    /// [`NoLength`].
    pub fn begin(&self, response: Response<()>) -> Result<(Content, Response<Body>), NoLength> {
        let left = self.content(&response)?;
        let is_grpc = self.is_grpc(&response);
        let (sender, body) = handed_on::body(Reason::INTERNAL_ERROR);
        let content = Content {
            sender,
            left,
            is_grpc,
        };
        Ok((content, response.map(|()| body)))
    }
}

/// A body that breaks after these pieces.
fn cut(pieces: Vec<Bytes>, reason: Reason) -> Body {
    let pieces = futures::stream::iter(pieces).map(|piece| Ok(Frame::data(piece)));
    let end = futures::stream::once(Box::pin(async move {
        tokio::time::sleep(FLUSH).await;
        Err(handed_on::broken_off(reason))
    }));
    Body::new(StreamBody::new(pieces.chain(end)))
}

/// A response's content on its way to the caller.
pub struct Content {
    sender: handed_on::Sender,
    left: Left,
    is_grpc: bool,
}

/// The caller wants no more, or the response is none.
#[derive(Debug)]
pub struct Over;

impl Content {
    /// Waits until the caller wants no more.
    pub async fn is_unwanted(&self) {
        self.sender.is_unwanted().await;
    }

    /// Hands a piece on.
    ///
    /// # Errors
    /// [`Over`]; also if there is more than was told.
    pub async fn put(&mut self, piece: Bytes) -> Result<(), Over> {
        match self.left.take(piece.len()) {
            true => self.hand_on(Frame::data(piece)).await,
            false => Err(Over),
        }
    }

    /// It ends here, or is broken off by its sender.
    pub async fn end(self, end: End) {
        match end {
            End::Whole(_) if !self.left.may_end() => self.broken(None).await,
            End::Whole(trailers) => self.finish(trailers).await,
            End::Reset(reason) => self.broken(Some(reason)).await,
        }
    }

    /// It has no end: it was reset by its server by this code, or broke off on its way.
    pub async fn broken(self, reset: Option<Reason>) {
        if self.is_grpc {
            return self.finish(grpc::broken_off(reset)).await;
        }
        // HTTP's server drops what it has not sent yet when a body breaks: what was
        // verified goes first, so that the caller sees a response that was cut.
        tokio::time::sleep(FLUSH).await;
        if let Some(reason) = reset {
            self.sender.reset(reason);
        }
    }

    async fn finish(self, trailers: HeaderMap) {
        let handed_on = match trailers.is_empty() {
            true => Ok(()),
            false => self.hand_on(Frame::trailers(trailers)).await,
        };
        if handed_on.is_ok() {
            self.sender.finish();
        }
    }

    /// Hands a frame on. A caller that does not read holds a lane for no longer than this.
    async fn hand_on(&self, frame: Frame<Bytes>) -> Result<(), Over> {
        let taken = tokio::time::timeout(READER_WAIT, self.sender.send(frame)).await;
        taken.map_err(|_| Over)?.map_err(|_| Over)
    }
}
