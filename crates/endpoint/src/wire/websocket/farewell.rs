//! What is said on a WebSocket that agents end, and neither its caller nor its API: a frame that
//! closes, in place of a connection that merely goes (RFC 6455, section 7.4.1).

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::Bytes;
use http_body::Frame;

use super::frames::Frames;
use crate::wire::handed_on;

/// To callers: 1012, service restart: another connection may well be served.
const RESTART: &[u8] = &[0x88, 2, 0x03, 0xf4];
/// To APIs: 1001, going away. Who calls masks its frames; that this mask is known hides nothing, as
/// nobody else chooses what the frame says.
const GOING_AWAY: &[u8] = &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9];

/// What goes to a caller.
pub fn to_caller(body: Body) -> Body {
    Body::new(Farewell::of(body, RESTART))
}

/// What goes to an API.
pub fn to_api(body: Body) -> Body {
    Body::new(Farewell::of(body, GOING_AWAY))
}

/// One direction. Where agents break it off between two frames it ends with one that closes; within
/// a frame nothing can be said, and it breaks off.
struct Farewell {
    body: Body,
    frames: Frames,
    last: &'static [u8],
    said: bool,
}

impl Farewell {
    fn of(body: Body, last: &'static [u8]) -> Self {
        Self {
            body,
            frames: Frames::default(),
            last,
            said: false,
        }
    }
}

impl http_body::Body for Farewell {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.said {
            return Poll::Ready(None);
        }
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            Some(Err(error)) if self.frames.may_close() && handed_on::is_cut(&error) => {
                self.said = true;
                Frame::data(Bytes::from_static(self.last))
            }
            Some(Ok(frame)) => frame,
            other => return Poll::Ready(other),
        };
        if let Some(bytes) = frame.data_ref() {
            self.frames.pass(bytes);
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

#[cfg(test)]
mod tests {
    use h2::Reason;
    use http_body_util::BodyExt;

    use super::*;

    /// What comes of a direction in which this has passed, and that ends so.
    async fn after(passed: &'static [u8], end: fn(handed_on::Sender)) -> Option<Vec<u8>> {
        let (sender, body) = handed_on::body(Reason::CANCEL);
        let ended = async {
            let frame = Frame::data(Bytes::from_static(passed));
            sender.send(frame).await.unwrap();
            end(sender);
        };
        let (collected, ()) = tokio::join!(to_caller(body).collect(), ended);
        Some(collected.ok()?.to_bytes().to_vec())
    }

    #[tokio::test]
    async fn what_agents_break_off_is_closed_between_two_frames() {
        const WHOLE: &[u8] = &[0x81, 2, b'h', b'i'];
        let closed = [WHOLE, RESTART].concat();
        assert_eq!(after(WHOLE, drop).await, Some(closed));
        assert_eq!(after(&WHOLE[..3], drop).await, None, "within a frame");
        // It was the application at the other end.
        let reset = |sender: handed_on::Sender| sender.reset(Reason::CANCEL);
        assert_eq!(after(WHOLE, reset).await, None);
        assert_eq!(
            after(WHOLE, handed_on::Sender::finish).await,
            Some(WHOLE.to_vec())
        );
        assert_eq!(after(RESTART, drop).await, None, "it was closed");
    }
}
