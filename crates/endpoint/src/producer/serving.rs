//! What becomes of an accepted ticket: its request's body comes in, the upstream is called
//! once, and the response is sealed into the lane's log.

use std::sync::{Arc, atomic::Ordering};

use armour_telemetry::trace;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response};
use http_body::Frame;
use http_body_util::{BodyStream, StreamBody};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use super::{endpoint::ProducerEndpoint, exchange::Exchange};
use crate::wire::{
    bhttp::{self, Decoder, Piece},
    message::{Ahead, BodySealer, Direction, HELD, MessageReader, ReadError, ahead, known, pump},
    problem::refuse,
    problem_type::ProblemType,
};

/// The opened content of a request: some, and what is still to come.
struct Content {
    first: Vec<u8>,
    rest: Option<mpsc::Receiver<Result<Vec<u8>, ()>>>,
}

impl Exchange {
    /// Takes the request's body. A request up to [`HELD`] bytes is handed on
    /// only once it is whole, so one that is cut can be sent again; a larger
    /// one is handed on as it comes, and aborted if it is cut.
    ///
    /// # Errors
    /// If the body is cut or not the consumer's; the exchange then still waits
    /// for it.
    pub async fn intake(
        self: &Arc<Self>,
        producer: &Arc<ProducerEndpoint>,
        message: MessageReader,
    ) -> Result<(), ReadError> {
        let mut segments = message.open(&self.keyed, Direction::Request, self.consumer_key);
        let mut first = Vec::new();
        while let Some(content) = segments.next().await? {
            first.extend_from_slice(&content);
            if first.len() > HELD {
                break;
            }
        }
        // Of two connections that bring the same request one hands it on.
        if self.started.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        if segments.is_done() {
            let content = Content { first, rest: None };
            tokio::spawn(run(producer.clone(), self.clone(), content));
            return Ok(());
        }
        let (sender, rest) = mpsc::channel(2);
        let content = Content {
            first,
            rest: Some(rest),
        };
        tokio::spawn(run(producer.clone(), self.clone(), content));
        loop {
            let content = match segments.next().await {
                Ok(Some(content)) => Ok(content),
                Ok(None) => return Ok(()),
                Err(error) => {
                    tracing::debug!(%error, "a request's body is aborted");
                    Err(())
                }
            };
            let over = content.is_err();
            if sender.send(content).await.is_err() || over {
                return Ok(());
            }
        }
    }
}

/// Calls the upstream and seals its response.
async fn run(producer: Arc<ProducerEndpoint>, exchange: Arc<Exchange>, content: Content) {
    let outcome = call(&producer, &exchange, content).await;
    let mut content = BytesMut::new();
    let ahead = match outcome {
        Outcome::Empty => Ahead::Whole,
        Outcome::Response(response) => {
            let (mut parts, body) = response.into_parts();
            bhttp::strip_hop_by_hop(&mut parts.headers);
            bhttp::put_response(&parts, &mut content);
            ahead(BodyStream::new(body), &mut content)
        }
    };
    let digest = match ahead {
        Ahead::Whole => known(&content),
        Ahead::More(_) | Ahead::Broken => None,
    };
    let Ok(keyed) = producer.enclave.respond(exchange.lane, digest).await else {
        // The bundle was erased meanwhile: nobody may learn the response.
        exchange.log.cut();
        return;
    };
    let mut sealer = BodySealer::new(&producer.enclave, &keyed, Direction::Response);
    sealer.content().unsplit(content);
    exchange.log.head(Bytes::from(keyed.head));
    let (sink, mut source) = mpsc::channel(2);
    let sealed = tokio::spawn(async move {
        match ahead {
            Ahead::Whole => {
                let mut out = Vec::new();
                if sealer.finish(&mut out).await.is_ok() {
                    let _ = sink.send(out.into()).await;
                }
            }
            Ahead::More(body) => pump(sealer, body, sink).await,
            // The message stays cut short.
            Ahead::Broken => {}
        }
    });
    let mut whole = false;
    while let Some(chunk) = source.recv().await {
        whole = is_last(&chunk);
        if !exchange.log.push(chunk).await {
            whole = false;
            break;
        }
    }
    drop(source);
    let _ = sealed.await;
    if whole {
        exchange.log.finish();
    } else {
        exchange.log.cut();
    }
}

/// Whether the last segment of these is a message's last.
fn is_last(mut chunk: &[u8]) -> bool {
    use armour_protocol::segment::{HEADER_LEN, Header};
    let mut last = false;
    while let Some((header, rest)) = chunk.split_first_chunk::<HEADER_LEN>() {
        let Ok(header) = Header::from_bytes(*header) else {
            return false;
        };
        last = header.last;
        chunk = rest.get(header.len..).unwrap_or_default();
    }
    last
}

/// What came of a request.
enum Outcome {
    /// An empty exchange, or a request that was aborted.
    Empty,
    /// A response, of the upstream or of this agent.
    Response(Response<Body>),
}

async fn call(producer: &ProducerEndpoint, exchange: &Exchange, content: Content) -> Outcome {
    let Content { first, mut rest } = content;
    let mut decoder = Decoder::default();
    decoder.push(&first);
    drop(first);
    if decoder.is_blank() && rest.is_none() {
        return Outcome::Empty;
    }
    let malformed = || Outcome::Response(refuse(ProblemType::BinaryHttp, "malformed request"));
    if exchange.ticket.ticket.n == 0 {
        return Outcome::Response(refuse(
            ProblemType::Opening,
            "a lane's opening exchange must be empty",
        ));
    }
    // The head fits into what is read before a request is handed on.
    let Ok(Some(Piece::Request(head))) = decoder.piece() else {
        return malformed();
    };
    // The upstream's time begins once it has the whole request.
    let sent = CancellationToken::new();
    let guard = sent.clone().drop_guard();
    let body = if rest.is_some() {
        let (sender, receiver) = mpsc::channel(2);
        tokio::spawn(async move {
            feed(decoder, rest.take(), sender).await;
            drop(guard);
        });
        Body::new(StreamBody::new(ReceiverStream::new(receiver)))
    } else {
        match whole_body(&mut decoder) {
            Some((content, trailers)) if trailers.is_empty() => Body::from(content),
            Some((content, trailers)) => {
                let frames = [
                    Ok::<_, std::io::Error>(Frame::data(content)),
                    Ok(Frame::trailers(trailers)),
                ];
                Body::new(StreamBody::new(futures::stream::iter(frames)))
            }
            None => return malformed(),
        }
    };
    let span = tracing::info_span!(
        "armour.serve",
        otel.kind = "server",
        http.request.method = %head.method(),
        armour.bundle = %Uuid::from_bytes(exchange.ticket.ticket.bundle),
        armour.lane = exchange.ticket.ticket.lane,
    );
    trace::adopt(&span, head.headers());
    // It has been reported already or waits to be; only now it is known whose trace it is of.
    producer.reporter.trace(&exchange.ticket, &span);
    let upstream = producer.upstream();
    let served = upstream.serve(&producer.session, head.map(|()| body), sent);
    Outcome::Response(served.instrument(span).await)
}

fn whole_body(decoder: &mut Decoder) -> Option<(Bytes, HeaderMap)> {
    let mut content = BytesMut::new();
    let mut trailers = HeaderMap::new();
    while let Ok(Some(piece)) = decoder.piece() {
        match piece {
            Piece::Content(bytes) if content.is_empty() => content = bytes.into(),
            Piece::Content(bytes) => content.extend_from_slice(&bytes),
            Piece::End(found) => trailers = found,
            Piece::Request(_) | Piece::Response(_) => return None,
        }
    }
    decoder.is_done().then(|| (content.freeze(), trailers))
}

type BodyFrame = Result<Frame<Bytes>, std::io::Error>;

/// Decodes a request's content as it comes.
async fn feed(
    mut decoder: Decoder,
    rest: Option<mpsc::Receiver<Result<Vec<u8>, ()>>>,
    sender: mpsc::Sender<BodyFrame>,
) {
    let broken = || Err(std::io::Error::other("the request was cut short"));
    let Some(mut rest) = rest else { return };
    loop {
        loop {
            let frame = match decoder.piece() {
                Ok(Some(Piece::Content(bytes))) => Ok(Frame::data(bytes)),
                Ok(Some(Piece::End(trailers))) if trailers.is_empty() => continue,
                Ok(Some(Piece::End(trailers))) => Ok(Frame::trailers(trailers)),
                Ok(None) => break,
                Ok(Some(_)) | Err(_) => broken(),
            };
            let over = frame.is_err();
            if sender.send(frame).await.is_err() || over {
                return;
            }
        }
        match rest.recv().await {
            Some(Ok(content)) => decoder.push(&content),
            None if decoder.is_done() => return,
            Some(Err(())) | None => {
                let _ = sender.send(broken()).await;
                return;
            }
        }
    }
}
