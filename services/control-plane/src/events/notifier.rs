//! Wakes the event streams of this replica when a tenant has new events.

use std::{collections::HashMap, sync::Arc, time::Duration};

use armour_storage::Store;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Tells the streams of a tenant that it has new events, and no other tenant's. Streams also poll
/// now and then, so a notice that is lost delays an event and loses none.
#[derive(Clone, Default)]
pub struct EventNotifier(Arc<Mutex<HashMap<Uuid, watch::Sender<()>>>>);

/// A tenant's notices from the time on when it was made.
pub struct Notices(watch::Receiver<()>);

impl EventNotifier {
    /// Starts to listen to PostgreSQL, again and again, until cancelled.
    pub fn start(store: Store, stopping: CancellationToken) -> Self {
        let notifier = Self::default();
        let listening = notifier.clone();
        tokio::spawn(stopping.run_until_cancelled_owned(async move {
            loop {
                if let Err(error) = listen(&store, &listening).await {
                    tracing::warn!(%error, "listening for events failed; trying again");
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }));
        notifier
    }

    /// A tenant's notices from now on.
    pub fn subscribe(&self, tenant: Uuid) -> Notices {
        let mut tenants = self.0.lock();
        if let Some(sender) = tenants.get(&tenant) {
            return Notices(sender.subscribe());
        }
        // Now and then: as many may have gone as there are.
        if tenants.len().is_power_of_two() {
            tenants.retain(|_, sender| sender.receiver_count() > 0);
        }
        let (sender, notices) = watch::channel(());
        tenants.insert(tenant, sender);
        Notices(notices)
    }

    fn tell(&self, tenant: Uuid) {
        let mut tenants = self.0.lock();
        let told = tenants.get(&tenant).map(|sender| sender.send(()));
        if told.is_some_and(|told| told.is_err()) {
            tenants.remove(&tenant);
        }
    }
}

impl Notices {
    /// Ends with the next notice; at once if there was one since it ended last.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

async fn listen(store: &Store, notifier: &EventNotifier) -> anyhow::Result<()> {
    let mut listener = store.listen().await?;
    // Whether notices come at all: a pooler may lose them without a word.
    let word = store.new_id().to_string();
    store.notify(&word).await?;
    let mut heard = false;
    let late = tokio::time::sleep(LATE);
    tokio::pin!(late);
    loop {
        let notice = tokio::select! {
            notice = listener.recv() => notice?,
            () = &mut late, if !heard => {
                heard = true;
                tracing::error!(
                    "PostgreSQL's notices do not come, so events are late: if a pooler is between, \
                     give a URL without it by --database-direct-url"
                );
                continue;
            }
        };
        heard |= notice.payload() == word;
        if let Ok(tenant) = Uuid::try_parse(notice.payload()) {
            notifier.tell(tenant);
        }
    }
}

/// After how long a notice that was not heard is missed.
const LATE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn m5_a_tenants_events_wake_no_other_tenants_streams_however_many_there_are() {
        let notifier = EventNotifier::default();
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut streams = [notifier.subscribe(one), notifier.subscribe(one)];
        let mut others = notifier.subscribe(other);
        // More than any queue would hold.
        for _ in 0..10_000 {
            notifier.tell(one);
        }
        for notices in &mut streams {
            assert!(notices.next().now_or_never().is_some());
            // However many there were they are one.
            assert!(notices.next().now_or_never().is_none());
        }
        assert!(others.next().now_or_never().is_none());
        drop(streams);
        notifier.tell(one);
        assert!(!notifier.0.lock().contains_key(&one), "nobody listens");
    }
}
