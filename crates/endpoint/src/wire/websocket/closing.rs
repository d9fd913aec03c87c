//! The two directions of a WebSocket in a stream of HTTP/2.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use futures::future::BoxFuture;
use h2::Reason;
use http_body::Frame;
use tokio_util::sync::CancellationToken;

use super::CLOSING;
use crate::wire::handed_on;

/// Joins them: once one has ended, the other breaks off a while later.
#[derive(Clone, Default)]
pub struct Closing {
    first: CancellationToken,
    second: CancellationToken,
    declined: CancellationToken,
}

impl Closing {
    /// Of two directions that go on.
    pub fn new() -> Self {
        Self::default()
    }

    /// One direction.
    pub fn of_the_first(&self, body: Body) -> Body {
        self.direction(body, self.first.clone(), self.second.clone())
    }

    /// The other.
    pub fn of_the_second(&self, body: Body) -> Body {
        self.direction(body, self.second.clone(), self.first.clone())
    }

    /// The handshake was declined: nothing more comes either way.
    pub fn declined(self) {
        self.declined.cancel();
    }

    fn direction(&self, body: Body, ended: CancellationToken, other: CancellationToken) -> Body {
        let late = Box::pin(async move {
            other.cancelled().await;
            tokio::time::sleep(CLOSING).await;
        });
        let declined = Box::pin(self.declined.clone().cancelled_owned());
        Body::new(Direction {
            body,
            ended,
            late,
            declined,
        })
    }
}

struct Direction {
    body: Body,
    ended: CancellationToken,
    late: BoxFuture<'static, ()>,
    declined: BoxFuture<'static, ()>,
}

impl http_body::Body for Direction {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.declined.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Pending => {
                let late = self.late.as_mut().poll(context);
                late.map(|()| Some(Err(axum::Error::new(handed_on::broken_off(Reason::CANCEL)))))
            }
            ready => {
                if !matches!(ready, Poll::Ready(Some(Ok(_)))) {
                    self.ended.cancel();
                }
                ready
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_direction_that_goes_on_after_the_other_breaks_off_a_while_later() {
        let closing = Closing::new();
        let (_sender, body) = handed_on::body(Reason::CANCEL);
        let going_on = closing.of_the_first(body);
        let ended = closing.of_the_second(Body::empty());
        assert!(ended.collect().await.unwrap().to_bytes().is_empty());
        let since = Instant::now();
        assert!(going_on.collect().await.is_err());
        assert_eq!(since.elapsed(), CLOSING);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_declined_ends() {
        let closing = Closing::new();
        let (_sender, body) = handed_on::body(Reason::CANCEL);
        let body = closing.of_the_first(body);
        closing.declined();
        assert!(body.collect().await.unwrap().to_bytes().is_empty());
    }
}
