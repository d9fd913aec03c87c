//! A body that is handed on as it comes, to a caller or to an API. It ends only where its sender
//! says so: one that merely goes has broken it off.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

type BodyFrame = Result<Frame<Bytes>, std::io::Error>;

/// What brings a body's frames.
pub struct Sender {
    frames: mpsc::Sender<BodyFrame>,
    whole: Arc<AtomicBool>,
}

/// The body is wanted no more.
#[derive(Debug)]
pub struct Unwanted;

/// A body and its sender. Where it breaks off it says so in HTTP/2 by CANCEL.
pub fn body() -> (Sender, Body) {
    let (frames, receiver) = mpsc::channel(2);
    let whole = Arc::new(AtomicBool::new(false));
    let sender = Sender {
        frames,
        whole: whole.clone(),
    };
    let end = stream::once(async move { whole.load(Ordering::Acquire) });
    let end = end.filter_map(async |whole| (!whole).then(|| Err(broken_off())));
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
        self.whole.store(true, Ordering::Release);
    }
}

fn broken_off() -> std::io::Error {
    std::io::Error::other(h2::Error::from(h2::Reason::CANCEL))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn only_what_is_said_to_be_whole_ends() {
        for whole in [true, false] {
            let (sender, body) = body();
            let data = Frame::data(Bytes::from_static(b"four"));
            sender.send(data).await.unwrap();
            match whole {
                true => sender.finish(),
                false => drop(sender),
            }
            let collected = body.collect().await;
            assert_eq!(collected.is_ok(), whole);
        }
    }

    #[tokio::test]
    async fn a_sender_learns_that_its_body_is_wanted_no_more() {
        let (sender, body) = body();
        drop(body);
        sender.is_unwanted().await;
        assert!(sender.send(Frame::data(Bytes::new())).await.is_err());
    }
}
