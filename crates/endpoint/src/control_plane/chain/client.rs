//! The chain for those who have something to say.

use std::sync::Arc;

use armour_api::{ItemOutcome, LinkOutcome};
use armour_protocol::v2::identity::body::LinkBody;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::task::AbortOnDropHandle;

use super::{
    request::{Answered, LinkError, Said, Waiting},
    sender::Chain,
};
use crate::control_plane::ended::Ended;

/// How many links wait for the one in flight; whoever has more to say waits, too.
const MAX_WAITING: usize = 64;

/// The chain, as those see it who have something to say; cheap to clone.
#[derive(Clone)]
pub struct ChainClient {
    waiting: mpsc::Sender<Waiting>,
    ended: watch::Receiver<Option<Ended>>,
    _task: Option<Arc<AbortOnDropHandle<()>>>,
}

impl ChainClient {
    /// The chain of a start that was accepted.
    pub fn begin(chain: Chain) -> Self {
        let (waiting, links) = mpsc::channel(MAX_WAITING);
        let (end, ended) = watch::channel(None);
        let task = tokio::spawn(chain.run(links, end));
        Self {
            waiting,
            ended,
            _task: Some(Arc::new(AbortOnDropHandle::new(task))),
        }
    }

    /// No chain: nothing is said to anybody.
    #[cfg(any(test, feature = "clone-demo"))]
    pub fn none() -> Self {
        let (waiting, _) = mpsc::channel(1);
        let (_, ended) = watch::channel(None);
        Self {
            waiting,
            ended,
            _task: None,
        }
    }

    /// Says this once its turn comes, and waits for what comes of it, for as long as it
    /// takes. Who stops waiting takes nothing back.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn link(&self, body: LinkBody) -> Result<Answered, LinkError> {
        self.say(Said::Body(Box::new(body))).await
    }

    /// Says this, and takes an outcome for each item.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn items(&self, body: LinkBody) -> Result<Vec<ItemOutcome>, LinkError> {
        match self.link(body).await?.outcome {
            LinkOutcome::Items { items } => Ok(items),
            _ => Err(LinkError::Untold),
        }
    }

    /// Renews the keys.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn renew(&self) -> Result<(), LinkError> {
        self.say(Said::Renewal).await.map(drop)
    }

    /// Waits until the chain has ended.
    pub async fn ended(&self) -> Ended {
        let mut ended = self.ended.clone();
        let known = ended.wait_for(Option::is_some).await;
        let ended = known.ok().and_then(|ended| *ended);
        match ended {
            Some(ended) => ended,
            // There is no chain that could end.
            None => std::future::pending().await,
        }
    }

    async fn say(&self, said: Said) -> Result<Answered, LinkError> {
        let (answer, answered) = oneshot::channel();
        let gone = || {
            let ended = *self.ended.borrow();
            LinkError::Ended(ended.unwrap_or(Ended::Start))
        };
        let waiting = Waiting { said, answer };
        self.waiting.send(waiting).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}
