//! One direction that this end sends, which is sealed by one and re-keyed by another.

use std::{future::Future, sync::Arc};

use armour_protocol::v2::{message::Side, proxy::Epoch};
use bytes::Bytes;
use tokio::sync::{Mutex, Notify};

use super::{
    content::Content,
    stream::{Broken, StreamSender},
};

/// A direction that this end sends; clones are of the same one.
pub struct Sealing<S>(Arc<Shared<S>>);

struct Shared<S> {
    /// Locked while the streams are re-keyed: the enclave signs no checkpoint from what says
    /// where the direction goes on in its next epoch until the one behind the switch.
    flow: Mutex<Flow<S>>,
    /// Notified when a switch is to be sent.
    switched: Notify,
}

enum Flow<S> {
    /// It has not begun: once it does, it begins in this epoch.
    Before(Option<Epoch<S>>),
    Open(Box<StreamSender<S>>),
    /// It has ended, or is no stream.
    Over,
}

impl<S> Clone for Sealing<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: Side> Sealing<S> {
    /// A direction that begins later, or not at all.
    pub fn later() -> Self {
        Self::of(Flow::Before(None))
    }

    /// A direction that is no stream.
    pub fn none() -> Self {
        Self::of(Flow::Over)
    }

    fn of(flow: Flow<S>) -> Self {
        Self(Arc::new(Shared {
            flow: Mutex::new(flow),
            switched: Notify::new(),
        }))
    }

    /// The direction begins: its first content is sealed by `seal`, in the epoch that it was
    /// re-keyed to last, if it was before it began. None if that is all of it.
    ///
    /// # Errors
    /// [`Broken`] if it has begun, or has ended, or cannot be sealed.
    pub async fn begin(
        &self,
        seal: impl FnOnce(Option<Epoch<S>>) -> Result<Option<StreamSender<S>>, Broken>,
    ) -> Result<(), Broken> {
        let mut flow = self.0.flow.lock().await;
        let Flow::Before(epoch) = &mut *flow else {
            return Err(Broken);
        };
        let epoch = epoch.take();
        let rekeyed = epoch.is_some();
        let sealed = seal(epoch);
        // Also where it could not be sealed: it has no other beginning.
        *flow = Flow::Over;
        if let Some(mut sender) = sealed? {
            if rekeyed {
                // The enclave may have re-keyed it between its head and here, and awaits a
                // checkpoint then.
                sender.checkpoint().await?;
                self.0.switched.notify_one();
            }
            *flow = Flow::Open(Box::new(sender));
        }
        Ok(())
    }

    /// Adds content, and seals what fills whole segments.
    ///
    /// # Errors
    /// [`Broken`] if the enclave is gone, or the lane, or its numbers are used up; or the
    /// direction is not open.
    pub async fn add(&self, put: impl FnOnce(&mut Content)) -> Result<Option<Bytes>, Broken> {
        match &mut *self.0.flow.lock().await {
            Flow::Open(sender) => {
                put(sender.content());
                sender.seal_full().await
            }
            _ => Err(Broken),
        }
    }

    /// Seals all that is there, and a checkpoint if anything waits for one.
    ///
    /// # Errors
    /// As above.
    pub async fn flush(&self) -> Result<Option<Bytes>, Broken> {
        match &mut *self.0.flow.lock().await {
            Flow::Open(sender) => sender.flush().await,
            _ => Err(Broken),
        }
    }

    /// Seals the rest, and the checkpoint that ends the direction.
    ///
    /// # Errors
    /// As above.
    pub async fn finish(&self) -> Result<Bytes, Broken> {
        let mut flow = self.0.flow.lock().await;
        match std::mem::replace(&mut *flow, Flow::Over) {
            Flow::Open(sender) => sender.finish().await,
            _ => Err(Broken),
        }
    }

    /// Waits until a switch is to be sent, though there is no content.
    pub async fn switched(&self) {
        self.0.switched.notified().await;
    }

    /// Vouches for all that is there, re-keys by `ask`, and goes on in the epoch that this
    /// gives, if it does. Meanwhile the direction stands still.
    ///
    /// # Errors
    /// [`Broken`], as above.
    pub async fn rekey<T>(
        &self,
        ask: impl Future<Output = (Option<Epoch<S>>, T)>,
    ) -> Result<T, Broken> {
        let mut flow = self.0.flow.lock().await;
        if let Flow::Open(sender) = &mut *flow {
            sender.vouch().await?;
        }
        let (epoch, told) = ask.await;
        let Some(epoch) = epoch else {
            return Ok(told);
        };
        match &mut *flow {
            Flow::Before(next) => *next = Some(epoch),
            Flow::Open(sender) => {
                sender.switch(&epoch).await?;
                self.0.switched.notify_one();
            }
            Flow::Over => {}
        }
        Ok(told)
    }
}
