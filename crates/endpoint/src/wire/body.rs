//! An application's or an API's HTTP body: taken whole where it is small, else sealed as it
//! comes.

use std::time::Duration;

use armour_api::PaddingPolicy;
use armour_protocol::v2::{
    content::{DigestKind, Padding},
    message::Side,
    proxy::{MAX_PIECE, MAX_WHOLE},
};
use axum::body::Body;
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use http::HeaderMap;
use http_body_util::BodyStream;
use tokio::sync::mpsc;

use super::{bhttp, content::Content, sealing::Sealing, stream::Broken};

/// What was read of a body.
pub enum Ahead {
    /// All of it, and it can be sent whole.
    Whole(Content),
    /// The beginning of it.
    More(Content, Rest),
    /// It has broken.
    Broken,
}

/// What is left of a body; nothing if it is all there and merely too large to be sent
/// whole.
pub struct Rest(Option<BodyStream<Body>>);

/// How content is hashed and padded.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    padding: Padding,
}

impl From<PaddingPolicy> for Form {
    fn from(policy: PaddingPolicy) -> Self {
        Self {
            padding: match policy {
                PaddingPolicy::None => Padding::None,
                PaddingPolicy::Padme => Padding::Padme,
            },
        }
    }
}

impl Form {
    /// How whole content of this length is hashed, and how it is padded.
    pub fn of_whole(self, length: usize) -> (DigestKind, Padding) {
        (DigestKind::suited_to(length), self.padding)
    }

    /// The same for a stream, whose length nobody knows.
    pub fn of_stream(self) -> (DigestKind, Padding) {
        (DigestKind::suited_to(MAX_WHOLE), self.padding)
    }
}

/// Reads a body after what `content` holds of the message already, until it has ended, is
/// too large to be sent whole, or, if `within` is given, has taken that long.
pub async fn ahead(body: Body, mut content: Content, within: Option<Duration>) -> Ahead {
    let mut body = BodyStream::new(body);
    let until = within.map(|within| tokio::time::Instant::now() + within);
    let mut trailers = HeaderMap::new();
    while content.len() <= MAX_WHOLE {
        let next = match until {
            None => body.next().await,
            Some(until) => match tokio::time::timeout_at(until, body.next()).await {
                Ok(next) => next,
                Err(_) => return Ahead::More(content, Rest(Some(body))),
            },
        };
        match next {
            Some(Err(_)) => return Ahead::Broken,
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => bhttp::put_content(&data, &mut content),
                Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
            },
            None => {
                bhttp::put_end(&trailers, &mut content);
                return match content.len() <= MAX_WHOLE {
                    true => Ahead::Whole(content),
                    false => Ahead::More(content, Rest(None)),
                };
            }
        }
    }
    Ahead::More(content, Rest(Some(body)))
}

/// What has been sealed of a body.
pub struct Piece {
    /// The segments.
    pub bytes: Bytes,
    /// Whether they hold any of it, or merely go on under another key.
    pub has_content: bool,
}

/// Seals the rest of a body as it comes; wire bytes go to `sink`. What is sealed waits for
/// no more than the body does: whenever that pauses, a checkpoint vouches for what is there.
/// The stream's last bytes are handed back, so that the lane is told before they are sent.
///
/// # Errors
/// [`Broken`]: the body broke, nobody takes it any more, or the lane is gone. The stream
/// has no end then.
pub async fn pump<S: Side>(
    sealing: &Sealing<S>,
    rest: Rest,
    sink: &mpsc::Sender<Piece>,
) -> Result<Bytes, Broken> {
    let mut trailers = HeaderMap::new();
    if let Some(mut body) = rest.0 {
        loop {
            let next = match body.next().now_or_never() {
                Some(next) => next,
                None => {
                    // Nothing more for now: what is there must not wait.
                    put(sealing.flush().await?, true, sink).await?;
                    idle(&mut body, sealing, sink).await?
                }
            };
            match next {
                None => break,
                Some(Err(_)) => return Err(Broken),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        for piece in data.chunks(MAX_PIECE) {
                            let sealed = sealing.add(|content| bhttp::put_content(piece, content));
                            put(sealed.await?, true, sink).await?;
                        }
                    }
                    Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
                },
            }
        }
        let sealed = sealing.add(|content| bhttp::put_end(&trailers, content));
        put(sealed.await?, true, sink).await?;
    }
    put(sealing.add(|_| {}).await?, true, sink).await?;
    sealing.finish().await
}

type BodyFrame = Result<http_body::Frame<Bytes>, axum::Error>;

/// The body's next frame. Meanwhile the stream may be re-keyed, which its receiver learns.
async fn idle<S: Side>(
    body: &mut BodyStream<Body>,
    sealing: &Sealing<S>,
    sink: &mpsc::Sender<Piece>,
) -> Result<Option<BodyFrame>, Broken> {
    loop {
        tokio::select! {
            next = body.next() => return Ok(next),
            () = sealing.switched() => put(sealing.flush().await?, false, sink).await?,
        }
    }
}

async fn put(
    bytes: Option<Bytes>,
    has_content: bool,
    sink: &mpsc::Sender<Piece>,
) -> Result<(), Broken> {
    match bytes {
        Some(bytes) => {
            let piece = Piece { bytes, has_content };
            sink.send(piece).await.map_err(|_| Broken)
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use http_body::Frame;
    use http_body_util::StreamBody;
    use tokio_stream::wrappers::ReceiverStream;

    use super::*;
    use crate::wire::bhttp::{Decoder, Piece};

    const SOON: Option<Duration> = Some(Duration::from_millis(10));

    /// A message so far: a response's head.
    fn head() -> Content {
        let (parts, ()) = http::Response::new(()).into_parts();
        let mut head = Content::default();
        bhttp::put_response(&parts, &mut head);
        head
    }

    fn decoded(content: &Content) -> (usize, HeaderMap, bool) {
        let mut decoder = Decoder::default();
        decoder.push(content.as_slice());
        let (mut bytes, mut trailers) = (0, HeaderMap::new());
        while let Ok(Some(piece)) = decoder.piece() {
            match piece {
                Piece::Content(content) => bytes += content.len(),
                Piece::End(found) => trailers = found,
                Piece::Request(_) | Piece::Response(_) => {}
            }
        }
        (bytes, trailers, decoder.is_done())
    }

    #[tokio::test]
    async fn a_small_body_is_whole_with_its_trailers() {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", http::HeaderValue::from_static("9"));
        let frames = [
            Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"four"))),
            Ok(Frame::trailers(trailers)),
        ];
        let body = Body::new(StreamBody::new(futures::stream::iter(frames)));
        let Ahead::Whole(content) = ahead(body, head(), SOON).await else {
            panic!("it is whole");
        };
        let (bytes, trailers, done) = decoded(&content);
        assert_eq!((bytes, done), (4, true));
        assert_eq!(trailers["x-sum"], "9");
    }

    #[tokio::test]
    async fn what_can_be_sent_whole_is_and_a_byte_more_is_not() {
        // The head, the length of the only piece, and the end.
        let room = MAX_WHOLE - head().len() - 4 - 2;
        for (length, whole) in [(room, true), (room + 1, false)] {
            match ahead(Body::from(vec![1; length]), head(), None).await {
                Ahead::Whole(content) => assert!(whole && content.len() == MAX_WHOLE),
                Ahead::More(content, rest) => {
                    assert!(!whole && rest.0.is_none());
                    assert_eq!(decoded(&content), (length, HeaderMap::new(), true));
                }
                Ahead::Broken => panic!("it is not"),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_pauses_is_not_waited_for() {
        let (sender, receiver) = mpsc::channel(2);
        let body = Body::from_stream(ReceiverStream::new(receiver));
        sender
            .send(Ok::<_, std::io::Error>(Bytes::from_static(b"event")))
            .await
            .unwrap();
        let Ahead::More(content, rest) = ahead(body, head(), SOON).await else {
            panic!("it goes on");
        };
        assert_eq!(decoded(&content), (5, HeaderMap::new(), false));
        assert!(rest.0.is_some());
    }

    #[tokio::test]
    async fn a_body_that_breaks_is_never_taken_for_whole() {
        let broken = [
            Ok(Bytes::from_static(b"half")),
            Err(std::io::Error::other("cut")),
        ];
        let body = Body::from_stream(futures::stream::iter(broken));
        assert!(matches!(ahead(body, head(), None).await, Ahead::Broken));
    }
}
