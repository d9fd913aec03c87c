//! The last response of a lane, sealed: kept whole up to a limit, so that a consumer
//! that lost it gets the same bytes again; beyond it only passed through.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use armour_protocol::v2::proxy::MAX_SEGMENT;
use bytes::Bytes;
use futures::Stream;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// So many bytes are kept: whatever is sent whole, and the latest part of all else.
const HELD: usize = MAX_SEGMENT + 1024;
/// How long a response waits for a reader before it is given up.
const READER_WAIT: Duration = Duration::from_secs(30);

/// A response as it is written and read.
#[derive(Default)]
pub struct ResponseLog {
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Default)]
struct Inner {
    /// The notice that its call has begun, once it has.
    begun: Option<Bytes>,
    head: Option<Bytes>,
    /// Chunks from number `base` on; those before were let go.
    chunks: VecDeque<Bytes>,
    base: usize,
    bytes: usize,
    ended: Option<End>,
    /// The latest reader; earlier ones have been given up by the consumer.
    reader: u64,
    read: usize,
    /// How many there are.
    readers: usize,
}

/// A reader for as long as its connection lasts.
struct Reading(Arc<ResponseLog>);

impl Reading {
    fn new(log: &Arc<ResponseLog>) -> Self {
        log.inner.lock().readers += 1;
        log.changed.notify_waiters();
        Self(log.clone())
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.inner.lock().readers -= 1;
        self.0.changed.notify_waiters();
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    /// Its readers see it end without its last checkpoint: a connection that breaks would have
    /// them come again.
    Aborted,
}

impl ResponseLog {
    /// Its call has begun: the head comes when the API has answered. Until then readers get
    /// this notice.
    pub fn begun(&self, notice: Bytes) {
        self.inner.lock().begun = Some(notice);
        self.changed.notify_waiters();
    }

    /// Waits until its call has begun, or for the head.
    pub async fn has_begun(&self) {
        loop {
            let changed = self.changed.notified();
            {
                let inner = self.inner.lock();
                if inner.begun.is_some() || inner.head.is_some() || inner.ended.is_some() {
                    return;
                }
            }
            changed.await;
        }
    }

    /// Writes the response's head.
    pub fn head(&self, head: Bytes) {
        self.inner.lock().head = Some(head);
        self.changed.notify_waiters();
    }

    /// Appends; waits while too much is kept that no reader has taken. Returns
    /// `false` once nobody comes for it.
    pub async fn push(&self, chunk: Bytes) -> bool {
        loop {
            let changed = self.changed.notified();
            {
                let mut inner = self.inner.lock();
                while inner.bytes + chunk.len() > HELD && inner.base < inner.read {
                    if let Some(gone) = inner.chunks.pop_front() {
                        inner.bytes -= gone.len();
                        inner.base += 1;
                    }
                }
                if inner.bytes == 0 || inner.bytes + chunk.len() <= HELD {
                    inner.bytes += chunk.len();
                    inner.chunks.push_back(chunk);
                    drop(inner);
                    self.changed.notify_waiters();
                    return true;
                }
            }
            if tokio::time::timeout(READER_WAIT, changed).await.is_err() {
                return false;
            }
        }
    }

    /// The response is whole.
    pub fn finish(&self) {
        self.end(End::Whole);
    }

    /// The rest will never come.
    pub fn abort(&self) {
        self.end(End::Aborted);
    }

    /// Waits until nobody has read for a while.
    pub async fn is_deserted(&self) {
        loop {
            self.readers(|readers| readers == 0).await;
            let again = self.readers(|readers| readers > 0);
            if tokio::time::timeout(READER_WAIT, again).await.is_err() {
                return;
            }
        }
    }

    async fn readers(&self, are: impl Fn(usize) -> bool) {
        loop {
            let changed = self.changed.notified();
            if are(self.inner.lock().readers) {
                return;
            }
            changed.await;
        }
    }

    /// Waits for the head.
    async fn has_head(&self) {
        loop {
            let changed = self.changed.notified();
            {
                let inner = self.inner.lock();
                if inner.head.is_some() || inner.ended.is_some() {
                    return;
                }
            }
            changed.await;
        }
    }

    /// The response from its beginning, as it comes.
    pub fn read(self: &Arc<Self>) -> impl Stream<Item = std::io::Result<Bytes>> + Send + use<> {
        let log = self.clone();
        let reading = Reading::new(self);
        async_stream::stream! {
            let _reading = reading;
            let mine = {
                let mut inner = log.inner.lock();
                inner.reader += 1;
                inner.read = 0;
                inner.reader
            };
            log.changed.notify_waiters();
            log.has_begun().await;
            let notice = {
                let inner = log.inner.lock();
                inner.begun.clone().filter(|_| inner.head.is_none())
            };
            if let Some(notice) = notice {
                yield Ok(notice);
            }
            log.has_head().await;
            let head = log.inner.lock().head.clone();
            match head {
                Some(head) => yield Ok(head),
                None => {
                    yield Err(cut());
                    return;
                }
            }
            let mut at = 0;
            loop {
                match log.next(mine, at).await {
                    Some(Ok(chunk)) => {
                        at += 1;
                        yield Ok(chunk);
                    }
                    Some(Err(error)) => {
                        yield Err(error);
                        return;
                    }
                    None => return,
                }
            }
        }
    }

    async fn next(&self, mine: u64, at: usize) -> Option<std::io::Result<Bytes>> {
        loop {
            let changed = self.changed.notified();
            {
                let mut inner = self.inner.lock();
                if inner.reader != mine {
                    return Some(Err(cut()));
                }
                if at < inner.base {
                    return None;
                }
                if let Some(chunk) = inner.chunks.get(at - inner.base).cloned() {
                    inner.read = at + 1;
                    drop(inner);
                    self.changed.notify_waiters();
                    return Some(Ok(chunk));
                }
                if inner.ended.is_some() {
                    return None;
                }
            }
            changed.await;
        }
    }

    fn end(&self, end: End) {
        self.inner.lock().ended.get_or_insert(end);
        self.changed.notify_waiters();
    }
}

fn cut() -> std::io::Error {
    std::io::Error::other("the response is not whole any more")
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;

    async fn read_all(log: &Arc<ResponseLog>) -> Result<usize, usize> {
        let mut total = 0;
        let mut stream = Box::pin(log.read());
        while let Some(chunk) = stream.next().await {
            match chunk {
                Ok(chunk) => total += chunk.len(),
                Err(_) => return Err(total),
            }
        }
        Ok(total)
    }

    #[tokio::test]
    async fn a_small_response_is_read_as_often_as_asked() {
        let log = Arc::new(ResponseLog::default());
        log.head(Bytes::from_static(b"head"));
        assert!(log.push(Bytes::from_static(b"body")).await);
        log.finish();
        assert_eq!(read_all(&log).await, Ok(8));
        assert_eq!(read_all(&log).await, Ok(8));
    }

    #[tokio::test]
    async fn who_waits_for_a_call_that_has_begun_is_told_so() {
        let log = Arc::new(ResponseLog::default());
        log.begun(Bytes::from_static(b"begun"));
        let mut waiting = Box::pin(log.read());
        assert_eq!(waiting.next().await.unwrap().unwrap(), b"begun"[..]);
        log.head(Bytes::from_static(b"head"));
        log.finish();
        assert_eq!(waiting.next().await.unwrap().unwrap(), b"head"[..]);
        // Who comes after it needs no notice.
        assert_eq!(read_all(&log).await, Ok(4));
    }

    #[tokio::test]
    async fn a_large_one_passes_in_bounded_memory_and_only_once() {
        let log = Arc::new(ResponseLog::default());
        log.head(Bytes::from_static(b"head"));
        let writer = tokio::spawn({
            let log = log.clone();
            async move {
                for _ in 0..1000 {
                    assert!(log.push(Bytes::from(vec![0; 64 * 1024])).await);
                    assert!(log.inner.lock().bytes <= HELD);
                }
                log.finish();
            }
        });
        assert_eq!(read_all(&log).await, Ok(4 + 1000 * 64 * 1024));
        writer.await.unwrap();
        // Again only the head is there, which is what the lane needs; and that is all.
        assert_eq!(read_all(&log).await, Ok(4));
    }

    #[tokio::test]
    async fn what_the_api_broke_off_ends_and_is_not_asked_for_again() {
        let log = Arc::new(ResponseLog::default());
        log.head(Bytes::from_static(b"head"));
        assert!(log.push(Bytes::from_static(b"half")).await);
        log.abort();
        assert_eq!(read_all(&log).await, Ok(8));
        // Without a head there is nothing that its readers could believe.
        let log = Arc::new(ResponseLog::default());
        log.abort();
        assert_eq!(read_all(&log).await, Err(0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_that_nobody_reads_is_deserted_after_a_while() {
        let log = Arc::new(ResponseLog::default());
        let reader = log.read();
        let deserted = log.is_deserted();
        tokio::pin!(deserted);
        let soon = READER_WAIT / 2;
        assert!(
            tokio::time::timeout(READER_WAIT * 2, &mut deserted)
                .await
                .is_err()
        );
        drop(reader);
        assert!(tokio::time::timeout(soon, &mut deserted).await.is_err());
        let reader = log.read();
        assert!(
            tokio::time::timeout(READER_WAIT * 2, &mut deserted)
                .await
                .is_err()
        );
        drop(reader);
        tokio::time::timeout(READER_WAIT * 2, &mut deserted)
            .await
            .unwrap();
    }
}
