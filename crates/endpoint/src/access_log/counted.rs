//! Content whose bytes are counted as they pass.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::{Buf as _, Bytes};
use http_body::{Body as _, Frame, SizeHint};

use super::{entry::Ended, record::Noted};

/// Which way it passes.
#[derive(Debug, Clone, Copy)]
pub enum Direction {
    /// To the API.
    Request,
    /// To the caller, who is told this length if any.
    Response { length: Option<u64> },
}

/// A body that is counted.
pub struct Counted {
    inner: Body,
    noted: Arc<Noted>,
    direction: Direction,
    passed: u64,
    /// How it ended, once it has.
    ended: Option<Ended>,
}

impl Counted {
    /// Counts this one.
    pub fn new(inner: Body, noted: Arc<Noted>, direction: Direction) -> Self {
        Self {
            inner,
            noted,
            direction,
            passed: 0,
            ended: None,
        }
    }

    /// The same as a body.
    pub fn into_body(self) -> Body {
        Body::new(self)
    }

    fn count(&mut self, bytes: usize) {
        let bytes = bytes as u64;
        self.passed = self.passed.saturating_add(bytes);
        match self.direction {
            Direction::Request => self.noted.took(bytes),
            Direction::Response { .. } => self.noted.gave(bytes),
        }
    }
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        match &frame {
            None => self.ended = Some(Ended::Whole),
            Some(Err(_)) => self.ended = Some(Ended::Broken),
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    let bytes = data.remaining();
                    self.count(bytes);
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Direction::Response { length } = self.direction else {
            return;
        };
        // Whoever was told the length need not ask for the end.
        let is_whole = self.inner.is_end_stream() || length == Some(self.passed);
        let ended = match self.ended {
            Some(ended) => ended,
            None if is_whole => Ended::Whole,
            None => Ended::Left,
        };
        self.noted.over(ended);
    }
}
