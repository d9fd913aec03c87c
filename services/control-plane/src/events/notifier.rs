//! Wakes the event streams of this replica when a tenant has new events.

use std::time::Duration;

use armour_storage::Store;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Tells which tenant has new events. Streams also poll now and then,
/// so a notice that is lost delays an event and loses none.
#[derive(Clone)]
pub struct EventNotifier(broadcast::Sender<Uuid>);

impl EventNotifier {
    /// Starts to listen to PostgreSQL, again and again, until cancelled.
    pub fn start(store: Store, stopping: CancellationToken) -> Self {
        let (sender, _) = broadcast::channel(1024);
        let notifier = Self(sender.clone());
        tokio::spawn(stopping.run_until_cancelled_owned(async move {
            loop {
                if let Err(error) = listen(&store, &sender).await {
                    tracing::warn!(%error, "listening for events failed; trying again");
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }));
        notifier
    }

    /// Notices from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Uuid> {
        self.0.subscribe()
    }
}

async fn listen(store: &Store, sender: &broadcast::Sender<Uuid>) -> anyhow::Result<()> {
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
            // Nobody listening is no error.
            let _ = sender.send(tenant);
        }
    }
}

/// After how long a notice that was not heard is missed.
const LATE: Duration = Duration::from_secs(10);
