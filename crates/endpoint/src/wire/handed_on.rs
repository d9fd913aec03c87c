//! A body that is handed on as it comes, to a caller or to an API. It ends only where its sender
//! says so: one that merely goes has broken it off.

use std::{error::Error, io::ErrorKind, sync::Arc, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt, stream};
use h2::Reason;
use http_body::Frame;
use http_body_util::StreamBody;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// How long what is there waits for a reader to take it.
pub const READER_WAIT: Duration = Duration::from_secs(30);

type BodyFrame = Result<Frame<Bytes>, std::io::Error>;

/// What brings a body's frames.
pub struct Sender {
    frames: mpsc::Sender<BodyFrame>,
    end: Arc<Mutex<End>>,
}

#[derive(Clone, Copy)]
enum End {
    Whole,
    /// Broken off on its way, which HTTP/2 says by this code.
    Cut(Reason),
    /// Broken off by whoever sends it, who says so by this code.
    Reset(Reason),
}

/// The body is wanted no more.
#[derive(Debug)]
pub struct Unwanted;

/// A body and its sender. Where that merely goes it is broken off, which HTTP/2 says by this
/// code.
pub fn body(cut: Reason) -> (Sender, Body) {
    let (frames, receiver) = mpsc::channel(2);
    let end = Arc::new(Mutex::new(End::Cut(cut)));
    let sender = Sender {
        frames,
        end: end.clone(),
    };
    let end = stream::once(async move { *end.lock() });
    let end = end.filter_map(async |end| match end {
        End::Whole => None,
        End::Cut(reason) => Some(Err(cut_off(reason))),
        End::Reset(reason) => Some(Err(broken_off(reason))),
    });
    let body = Body::new(StreamBody::new(
        ReceiverStream::new(receiver).chain(Box::pin(end)),
    ));
    (sender, body)
}

impl Sender {
    /// Hands on, once there is room.
    ///
    /// # Errors
    /// [`Unwanted`].
    pub async fn send(&self, frame: Frame<Bytes>) -> Result<(), Unwanted> {
        self.frames.send(Ok(frame)).await.map_err(|_| Unwanted)
    }

    /// Waits until the body is wanted no more.
    pub async fn is_unwanted(&self) {
        self.frames.closed().await;
    }

    /// That was all of it.
    pub fn finish(self) {
        *self.end.lock() = End::Whole;
    }

    /// Whoever sends it has broken it off, by this code.
    pub fn reset(self, reason: Reason) {
        *self.end.lock() = End::Reset(reason);
    }
}

/// What a body breaks by.
pub fn broken_off(reason: Reason) -> std::io::Error {
    std::io::Error::other(h2::Error::from(reason))
}

fn cut_off(reason: Reason) -> std::io::Error {
    std::io::Error::new(ErrorKind::ConnectionAborted, h2::Error::from(reason))
}

/// Whether a body of ours broke off on its way, and not by who sends it.
pub fn is_cut(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return error.kind() == ErrorKind::ConnectionAborted;
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use armour_listener::http2::content::code;
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn only_what_is_said_to_be_whole_ends() {
        let ends: [(fn(Sender), _); 3] = [
            (Sender::finish, None),
            (drop, Some(Reason::CANCEL)),
            (
                |sender| sender.reset(Reason::NO_ERROR),
                Some(Reason::NO_ERROR),
            ),
        ];
        for (end, broken) in ends {
            let (sender, body) = body(Reason::CANCEL);
            let data = Frame::data(Bytes::from_static(b"four"));
            sender.send(data).await.unwrap();
            end(sender);
            let collected = body.collect().await;
            assert_eq!(collected.err().map(|error| code(&error).unwrap()), broken);
        }
    }

    #[tokio::test]
    async fn a_sender_learns_that_its_body_is_wanted_no_more() {
        let (sender, body) = body(Reason::CANCEL);
        drop(body);
        sender.is_unwanted().await;
        assert!(sender.send(Frame::data(Bytes::new())).await.is_err());
    }
}
