//! Which version of HTTP a client speaks, by what it sends first.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// What a client of HTTP/2 begins with (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Whether a client speaks HTTP/2, and its stream from the beginning.
pub(crate) async fn read<S: AsyncRead + Unpin>(mut stream: S) -> io::Result<(bool, Replayed<S>)> {
    let mut begun = [0; PREFACE.len()];
    let mut length = 0;
    while length < PREFACE.len() && PREFACE.starts_with(&begun[..length]) {
        match stream.read(&mut begun[length..]).await? {
            0 => break,
            more => length += more,
        }
    }
    let replayed = Replayed {
        begun: Bytes::copy_from_slice(&begun[..length]),
        stream,
    };
    Ok((begun == *PREFACE, replayed))
}

/// A stream of which some has been read, which comes again.
pub(crate) struct Replayed<S> {
    begun: Bytes,
    stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Replayed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.begun.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let count = self.begun.len().min(buffer.remaining());
        buffer.put_slice(&self.begun[..count]);
        self.begun.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Replayed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn read_in_pieces(sent: &'static [u8]) -> bool {
        let (mut client, server) = tokio::io::duplex(7);
        let sending = async {
            client.write_all(sent).await.unwrap();
            drop(client);
        };
        let reading = async {
            let (is_http2, mut stream) = read(server).await.unwrap();
            let mut again = Vec::new();
            stream.read_to_end(&mut again).await.unwrap();
            assert_eq!(again, sent);
            is_http2
        };
        tokio::join!(sending, reading).1
    }

    #[tokio::test]
    async fn what_was_read_to_know_the_version_comes_again() {
        assert!(read_in_pieces(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nframes").await);
        for other in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"PRI * HTTP/1.1\r\nhost: a\r\n\r\n",
            b"PRI * HTTP/2.0\r\n",
            b"P",
            b"",
        ] {
            assert!(!read_in_pieces(other).await);
        }
    }
}
