//! Content in a stream of HTTP/2, either way, with the code by which it is reset. One that is
//! reset has no end, whatever the code: `NO_ERROR` and `CANCEL` too.

use std::{
    error::Error,
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;

/// How long what is there waits for room at the peer, which reads none of it.
const UNREAD: Duration = Duration::from_secs(90);

/// Content as it comes.
pub struct Received {
    stream: RecvStream,
    /// What is still to come, if its length is told; `h2` holds its sender to it.
    left: Option<u64>,
    trailers_next: bool,
}

impl Received {
    /// That of a stream.
    pub fn new(stream: RecvStream) -> Self {
        Self::of_length(stream, None)
    }

    /// That of a stream whose length is told.
    pub fn of_length(stream: RecvStream, length: Option<u64>) -> Self {
        Self {
            left: length,
            stream,
            trailers_next: false,
        }
    }
}

impl http_body::Body for Received {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let this = &mut *self;
        if !this.trailers_next {
            if let Some(data) = ready!(this.stream.poll_data(context)) {
                let data = data?;
                this.stream.flow_control().release_capacity(data.len())?;
                if let Some(left) = &mut this.left {
                    *left = left.saturating_sub(data.len() as u64);
                }
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            this.trailers_next = true;
        }
        let trailers = ready!(this.stream.poll_trailers(context))?;
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match (self.stream.is_end_stream(), self.left) {
            (true, _) => SizeHint::with_exact(0),
            (false, Some(left)) => SizeHint::with_exact(left),
            (false, None) => SizeHint::default(),
        }
    }
}

/// Sends content to its end. A body that breaks resets the stream, with the code that it
/// breaks by if it has one.
pub async fn send(mut body: Body, mut stream: SendStream<Bytes>) {
    if let Err(reason) = send_all(&mut body, &mut stream).await {
        stream.send_reset(reason);
    }
}

async fn send_all(body: &mut Body, stream: &mut SendStream<Bytes>) -> Result<(), Reason> {
    let gone = |_: h2::Error| Reason::CANCEL;
    loop {
        let frame = tokio::select! {
            biased;
            reset = poll_fn(|context| stream.poll_reset(context)) => {
                return Err(reset.unwrap_or(Reason::CANCEL));
            }
            frame = body.frame() => frame,
        };
        let Some(frame) = frame else {
            return stream.send_data(Bytes::new(), true).map_err(gone);
        };
        let frame = frame.map_err(|error| code(&error).unwrap_or(Reason::INTERNAL_ERROR))?;
        match frame.into_data() {
            Ok(data) => {
                let ended = body.is_end_stream();
                if !data.is_empty() {
                    has_room(stream).await?;
                }
                stream.send_data(data, ended).map_err(gone)?;
                if ended {
                    return Ok(());
                }
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    return stream.send_trailers(trailers).map_err(gone);
                }
            }
        }
    }
}

/// Waits until the peer takes more.
async fn has_room(stream: &mut SendStream<Bytes>) -> Result<(), Reason> {
    // What is more than this is asked for with the data. To ask for all of it now would be to
    // hold what others of the connection need.
    stream.reserve_capacity(1);
    let room = poll_fn(|context| {
        if let Poll::Ready(reset) = stream.poll_reset(context) {
            return Poll::Ready(Err(reset.unwrap_or(Reason::CANCEL)));
        }
        loop {
            if stream.capacity() > 0 {
                return Poll::Ready(Ok(()));
            }
            match ready!(stream.poll_capacity(context)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(Err(Reason::CANCEL)),
            }
        }
    });
    tokio::time::timeout(UNREAD, room)
        .await
        .unwrap_or(Err(Reason::CANCEL))
}

/// The code of HTTP/2 by which something broke, if it has one.
pub fn code(error: &(dyn Error + 'static)) -> Option<Reason> {
    let mut next = Some(error);
    while let Some(error) = next {
        // What an error of the system's holds is not its source.
        let held = error.downcast_ref::<io::Error>();
        let held = held.and_then(|error| error.get_ref()?.downcast_ref::<h2::Error>());
        if let Some(error) = held.or_else(|| error.downcast_ref()) {
            return error.reason();
        }
        next = error.source();
    }
    None
}
