//! Signs links, sends each until it is answered, and acts on the answers.

use std::sync::Arc;

use armour_api::{AnnounceStart, LinkAnswer, LinkOutcome, ProblemType, SendLink};
use armour_client::{Client, ClientError};
use armour_enclave::{EnclaveError, ipc::ChainState};
use armour_protocol::v2::identity::{
    body::{Intrusion, LinkBody},
    link,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::request::{Answered, LinkError, Said, Waiting};
use crate::{
    backoff::Backoff,
    control_plane::{
        ended::Ended,
        signer::Signer,
        start::{StartError, announce},
    },
    progress::Progress,
};

/// The enclave's code of every call once a stranger was at its door.
const INTRUDED: &str = "intruded";

/// A link that is signed.
#[derive(Clone)]
struct SignedLink {
    k: u64,
    wire: SendLink,
}

/// A chain's other half: who signs, who sends, and where the end is told.
pub struct Chain {
    /// The control plane.
    pub client: Client,
    /// The enclave.
    pub signer: Arc<dyn Signer>,
    /// The chain's start, for a control plane that has lost it.
    pub announcement: AnnounceStart,
}

/// What one answer leads to.
enum Next {
    /// The link is concluded.
    Done(LinkOutcome, Option<Ended>),
    /// Another link takes its place.
    Instead(SignedLink),
    /// The same again.
    Again,
}

impl Chain {
    /// Sends what comes, one after another, until the chain has ended.
    pub(super) async fn run(
        self,
        mut links: mpsc::Receiver<Waiting>,
        end: watch::Sender<Option<Ended>>,
    ) {
        let mut renewals = Vec::new();
        // Whoever waits when it ends learns that by the channels.
        while let Some(Waiting { said, answer }) = links.recv().await {
            let (concluded, ended) = match self.conclude(said, &mut renewals).await {
                Ok((answered, ended)) => (Ok(answered), ended),
                Err(LinkError::Ended(ended)) => (Err(ended.into()), Some(ended)),
                Err(error) => (Err(error), None),
            };
            if ended == Some(Ended::Intruded) {
                // The enclave says itself which kind it was.
                let told = LinkBody::EnclaveIntruder(Intrusion::Stranger);
                if let Err(error) = self
                    .conclude(Said::Body(Box::new(told)), &mut renewals)
                    .await
                {
                    tracing::error!(%error, "the control plane is not told of the intruder");
                }
            }
            if let Some(ended) = ended {
                match ended {
                    Ended::Left => tracing::info!("{ended}"),
                    ended => tracing::error!("{ended}"),
                }
                end.send_replace(Some(ended));
            }
            // Who asked may have gone.
            let _ = answer.send(concluded);
            if ended.is_some() {
                return;
            }
        }
    }

    /// Signs a link, and sends it until it is answered.
    async fn conclude(
        &self,
        said: Said,
        renewals: &mut Vec<SignedLink>,
    ) -> Result<(Answered, Option<Ended>), LinkError> {
        let (leaving, signed) = match &said {
            Said::Body(body) => {
                let signed = self.signer.link(body.kind() as u8, body.to_bytes()).await;
                let leaving = matches!(&**body, LinkBody::Retire(all) if all.leaving);
                (leaving, signed)
            }
            Said::Renewal => (false, self.signer.renew().await),
        };
        let mut link = self.signed(signed)?;
        let mut disowns = false;
        let sent = Instant::now();
        let mut backoff = Backoff::default();
        loop {
            match self.client.send_link(&link.wire).await {
                Ok(answer) => {
                    let end = match (disowns, leaving) {
                        (true, _) => Ended::Collided,
                        (false, true) => Ended::Left,
                        (false, false) => Ended::Start,
                    };
                    let head = answer.head.k;
                    match self.next(answer, end).await? {
                        // All else that it could say is somebody else's as well.
                        Next::Done(..) if disowns => return Err(end.into()),
                        Next::Done(outcome, ended) => {
                            if matches!(said, Said::Renewal) {
                                renewals.push(link);
                            }
                            return Ok((Answered { outcome, sent }, ended));
                        }
                        Next::Instead(other) => {
                            link = other;
                            // Only what is shown anew each time would go round here.
                            if !std::mem::replace(&mut disowns, true) {
                                continue;
                            }
                        }
                        Next::Again => self.renew_again(renewals, head).await,
                    }
                }
                Err(error) => self.refused(error).await?,
            }
            backoff.wait().await;
        }
    }

    /// What an answer leads to; `end` is why the start has ended if the answer says so.
    async fn next(&self, answer: LinkAnswer, end: Ended) -> Result<Next, LinkError> {
        let ended = answer.ended.then_some(end);
        let next = match self.state(&answer).await? {
            Some(ChainState::Taken) => match answer.outcome {
                Some(outcome) => return Ok(Next::Done(outcome, ended)),
                None => Err(LinkError::Untold),
            },
            Some(ChainState::Foreign) => {
                tracing::error!(
                    k = answer.head.k,
                    "THE CONTROL PLANE HOLDS A LINK THAT THIS \
                    ENDPOINT NEVER SIGNED: somebody else holds its keys"
                );
                return Ok(Next::Instead(self.signed(self.signer.disown_head().await)?));
            }
            Some(ChainState::Waiting) | None => Ok(Next::Again),
        };
        match ended {
            Some(ended) => Err(ended.into()),
            None => next,
        }
    }

    /// What an answer made of the chain; nothing if it is none.
    async fn state(&self, answer: &LinkAnswer) -> Result<Option<ChainState>, LinkError> {
        let head = STANDARD.decode(&answer.head.hash).ok();
        let Some(hash) = head.and_then(|hash| hash.try_into().ok()) else {
            tracing::error!(
                k = answer.head.k,
                "the control plane tells of a head without hash"
            );
            return Ok(None);
        };
        let state = self.signer.link_answered(answer.head.k, hash).await;
        state.map(Some).map_err(unsigned)
    }

    /// The control plane has lost links: it cannot know the keys that they renewed.
    async fn renew_again(&self, renewals: &[SignedLink], head: u64) {
        for renewal in renewals.iter().filter(|renewal| renewal.k > head) {
            if let Err(error) = self.client.send_link(&renewal.wire).await {
                tracing::warn!(%error, k = renewal.k, "a renewal is not sent again yet");
                return;
            }
        }
    }

    /// A link has no answer. Goes on if it is to be sent again.
    async fn refused(&self, error: ClientError) -> Result<(), LinkError> {
        if let Some(ended) = Ended::of(&error) {
            return Err(ended.into());
        }
        if error.is_too_large() {
            // It would be refused for ever, and no other link can stand in its place.
            return Err(Ended::TooLarge.into());
        }
        if error.is(ProblemType::NotThisChain.name()) {
            tracing::error!(%error, "the control plane has lost this start; announcing it again");
            match announce(&self.client, &self.announcement, &Progress::default()).await {
                Ok(_) => {}
                Err(StartError::Ended(ended)) => return Err(ended.into()),
                Err(error) => tracing::error!(%error, "the start is not announced again yet"),
            }
        } else if error.is_passing() {
            tracing::warn!(%error, "a link has no answer yet");
        } else {
            // Nothing else can be signed until this is answered.
            tracing::error!(%error, "the control plane refuses a link");
        }
        Ok(())
    }

    fn signed(&self, signed: Result<Vec<u8>, EnclaveError>) -> Result<SignedLink, LinkError> {
        let bytes = signed.map_err(unsigned)?;
        let link = link::SignedLink::from_bytes(&bytes)
            .map_err(|error| LinkError::Unsigned(error.to_string()))?;
        Ok(SignedLink {
            k: link.head().k(),
            wire: SendLink {
                tenant_id: self.announcement.tenant_id,
                link: STANDARD.encode(bytes),
            },
        })
    }
}

fn unsigned(error: EnclaveError) -> LinkError {
    match error {
        EnclaveError::Gone => Ended::Enclave.into(),
        error if error.is(INTRUDED) => Ended::Intruded.into(),
        error => LinkError::Unsigned(error.to_string()),
    }
}
