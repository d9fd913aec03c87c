//! Content with something that is held for as long, or watched.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::producer::turn::Turns;

type Polled = Poll<Option<Result<Frame<Bytes>, axum::Error>>>;

/// A body that holds something until it has ended, or nobody wants it any more.
pub struct Held<T> {
    inner: Body,
    _held: T,
}

impl<T> Held<T> {
    /// This one.
    pub fn new(inner: Body, held: T) -> Self {
        Self { inner, _held: held }
    }
}

impl<T: Unpin> http_body::Body for Held<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Polled {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A request's body, of which it is noted whether the API waits for more of it.
pub struct Watched {
    inner: Body,
    turns: Turns,
}

impl Watched {
    /// This one. Where there is nothing, it is the API's turn at once.
    pub fn new(inner: Body, turns: Turns) -> Self {
        if http_body::Body::is_end_stream(&inner) {
            turns.of_the_api();
        }
        Self { inner, turns }
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Polled {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        match polled {
            Poll::Ready(_) => self.turns.of_the_api(),
            Poll::Pending => self.turns.of_the_caller(),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Watched {
    /// The API has taken all that it wants.
    fn drop(&mut self) {
        self.turns.of_the_api();
    }
}
