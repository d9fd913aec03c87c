//! A client that closes its half of a connection after its request may still read the answer,
//! or may have gone: the operating system tells no difference. It is waited for a moment, and
//! for as long as it takes what is written to it; then it has gone.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

use crate::connection_tracker::Connection;

/// How long nothing may be written to a client that has closed its half.
pub const GRACE: Duration = Duration::from_millis(500);

/// A stream whose end is told late while a request is under way.
pub struct HalfClose<S> {
    stream: S,
    connection: Arc<Connection>,
    /// When the client counts as gone, since it has closed its half.
    gone: Option<Pin<Box<Sleep>>>,
    /// Has a stream reset when it is closed.
    reset: fn(&S),
}

impl<S> HalfClose<S> {
    /// The stream of this connection, which is reset where that shows a cut.
    pub fn new(stream: S, connection: Arc<Connection>, reset: fn(&S)) -> Self {
        Self {
            stream,
            connection,
            gone: None,
            reset,
        }
    }

    fn has_written(&mut self, written: &Poll<io::Result<usize>>) {
        if let (Some(gone), Poll::Ready(Ok(1..))) = (&mut self.gone, written) {
            gone.as_mut().reset(Instant::now() + GRACE);
        }
    }
}

impl<S> Drop for HalfClose<S> {
    fn drop(&mut self) {
        if self.connection.is_cut() {
            (self.reset)(&self.stream);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HalfClose<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.gone.is_none() {
            let before = buffer.filled().len();
            ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
            if buffer.filled().len() > before || buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            self.gone = Some(Box::pin(tokio::time::sleep(GRACE)));
        }
        let busy = self.connection.is_busy();
        if let Some(gone) = &mut self.gone
            && busy
        {
            ready!(gone.as_mut().poll(context));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HalfClose<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, buffer);
        self.has_written(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.has_written(&written);
        written
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;
    use crate::connection_tracker::{ConnectionTracker, TrackedConnection};

    /// A stream whose client has closed its half, and the client, which reads on.
    async fn half_closed() -> (HalfClose<DuplexStream>, DuplexStream, TrackedConnection) {
        let (mut client, stream) = tokio::io::duplex(64);
        client.shutdown().await.unwrap();
        let connection = Arc::new(ConnectionTracker::default()).enter();
        let stream = HalfClose::new(stream, Arc::clone(&connection), |_| {});
        (stream, client, connection)
    }

    async fn until_gone(stream: &mut HalfClose<DuplexStream>) -> Duration {
        let since = Instant::now();
        assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
        since.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_an_answer_is_not_gone_at_once() {
        let (mut stream, _client, connection) = half_closed().await;
        let busy = connection.busy();
        assert!(until_gone(&mut stream).await >= GRACE);
        drop(busy);
        let (mut stream, _client, _connection) = half_closed().await;
        assert_eq!(until_gone(&mut stream).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_takes_an_answer_is_there_for_as_long_as_that_goes_on() {
        let (mut stream, mut client, connection) = half_closed().await;
        let _busy = connection.busy();
        for _ in 0..4 {
            let most = GRACE * 3 / 4;
            let gone = tokio::time::timeout(most, until_gone(&mut stream));
            assert!(gone.await.is_err());
            stream.write_all(b"piece").await.unwrap();
            client.read_exact(&mut [0; 5]).await.unwrap();
        }
        assert!(until_gone(&mut stream).await > GRACE / 2);
    }
}
