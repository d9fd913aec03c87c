//! Interim responses in HTTP/1.1, which hyper's server cannot send. They are written below it,
//! where it flushes: it does so once it has handed over all that it has, and it has read a
//! request's head only once the answer to the one before it was handed over. So whatever is
//! written there is between two messages; and the answer waits until it is ([`Answering`]).
//!
//! [`Answering`]: crate::interim::Answering

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::interim::{Interim, Interims};

/// What hyper says itself once a request's content is read; it is said here, or is not to be.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The interim responses of the request under way.
pub(crate) type Current = Arc<Mutex<Option<Interim>>>;

/// A connection below HTTP/1.1.
pub(crate) struct InterimIo<S> {
    stream: S,
    current: Current,
    title_case: bool,
    /// Interim responses, of which a part may have been written.
    out: BytesMut,
    /// Whether nothing has been written since the last flush.
    flushed: bool,
}

impl<S> InterimIo<S> {
    pub(crate) fn new(stream: S, title_case: bool) -> (Self, Current) {
        let current = Current::default();
        let io = Self {
            stream,
            current: current.clone(),
            title_case,
            out: BytesMut::new(),
            flushed: true,
        };
        (io, current)
    }

    /// Whether these bytes begin with hyper's own word, which is no part of an answer.
    fn is_continue(&self, bytes: &[u8]) -> bool {
        let unanswered = || self.current.lock().as_ref().is_some_and(Interim::is_open);
        self.flushed && bytes.starts_with(CONTINUE) && unanswered()
    }

    fn put_waiting(&mut self) {
        let waiting = self.current.lock().as_ref().map(Interim::take);
        for interim in waiting.unwrap_or_default() {
            put(&interim, self.title_case, &mut self.out);
        }
    }
}

impl<S: AsyncWrite + Unpin> InterimIo<S> {
    fn poll_out(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(context, &self.out))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.out.advance(written),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for InterimIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for InterimIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.as_mut()
            .poll_write_vectored(context, &[io::IoSlice::new(buffer)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_out(context))?;
        let first = buffers.iter().find(|buffer| !buffer.is_empty());
        if first.is_some_and(|first| self.is_continue(first)) {
            return Poll::Ready(Ok(CONTINUE.len()));
        }
        self.flushed = false;
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushed = true;
        self.put_waiting();
        ready!(self.poll_out(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

fn put((status, fields): &Interims, title_case: bool, out: &mut BytesMut) {
    let reason = status.canonical_reason().unwrap_or_default();
    out.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).as_bytes());
    for (name, value) in fields {
        let mut first = true;
        out.extend(name.as_str().bytes().map(|byte| {
            let upper = title_case && std::mem::replace(&mut first, byte == b'-');
            if upper {
                byte.to_ascii_uppercase()
            } else {
                byte
            }
        }));
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::*;

    #[test]
    fn an_interim_response_is_a_head_alone() {
        let mut fields = HeaderMap::new();
        fields.append("x-link-to", HeaderValue::from_static("</a>"));
        fields.append("x-link-to", HeaderValue::from_static("</b>"));
        for (title_case, name) in [(false, "x-link-to"), (true, "X-Link-To")] {
            let mut out = BytesMut::new();
            put(
                &(StatusCode::EARLY_HINTS, fields.clone()),
                title_case,
                &mut out,
            );
            let expected =
                format!("HTTP/1.1 103 Early Hints\r\n{name}: </a>\r\n{name}: </b>\r\n\r\n");
            assert_eq!(out, expected);
        }
    }
}
