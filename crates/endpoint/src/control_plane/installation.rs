//! How a bundle comes into the enclave: granted, vouched for by the log, installed, and
//! acknowledged.

use std::sync::Arc;

use armour_enclave::EnclaveError;
use armour_protocol::v2::{context::Context, gate::Gate, identity::body::Acknowledged};
use uuid::Uuid;

use super::{
    chain::LinkError,
    ended::Ended,
    grant::{Grant, GrantError},
    session::Session,
};

/// A bundle that is installed and acknowledged.
pub struct Taken {
    /// What was granted.
    pub grant: Grant,
    /// What its keys and signatures are bound to.
    pub context: Arc<Context>,
    /// Its gate.
    pub gate: Gate,
    /// Whether a pinned party's certificate vouches for the peer.
    pub pinned: bool,
}

impl Session {
    /// Takes a bundle: asks for its grant, has the log vouch for the keys in it and the
    /// enclave install it, keeps what that learnt of the peer, and acknowledges it. A consumer
    /// names the `pair` that it has drawn.
    ///
    /// Not to be dropped before it ends: the enclave would hold a bundle that nobody knows of.
    ///
    /// # Errors
    /// [`GrantError`]; then the enclave does not hold it.
    pub async fn take_bundle(&self, id: Uuid, pair: Option<Uuid>) -> Result<Taken, GrantError> {
        let enclave = self.enclave.as_ref();
        let enclave = enclave.ok_or(GrantError::Link(Ended::Enclave.into()))?;
        let granted = self.log.vouched(self.client(), id).await?;
        let now = self.ambient.now().timestamp().try_into();
        let now = now.map_err(|_| GrantError::Untrusted("this machine's clock is wrong".into()))?;
        let read = Grant::read(granted, id, self.identity, now);
        let (grant, install) = read.map_err(GrantError::Untrusted)?;
        is_of(grant.pair, pair)?;
        let floors = self.floors.check(grant.binding.suite, &grant.policy);
        floors.map_err(GrantError::Below)?;
        let context = grant.binding.context();
        let context = context.map_err(|error| GrantError::Untrusted(error.to_string()))?;
        let installed = enclave.install(install).await.inspect_err(|error| {
            if let EnclaveError::Refused(_) = error {
                tracing::error!(%error, bundle = %id, "the enclave refuses a bundle");
                self.note(format!("bundle {id} is not installed: {error}"));
            }
        })?;
        let peer = match self.identity.id == grant.consumer {
            true => grant.producer,
            false => grant.consumer,
        };
        let known = (installed.peer.as_deref(), installed.pair.as_deref());
        let kept = self.keep_known((peer, known.0), (grant.pair, known.1));
        let kept = kept.map_err(GrantError::Unkept);
        let acknowledged = match kept {
            Ok(()) if installed.context != *context.hash() => Err(GrantError::Untrusted(
                "the enclave installed another".into(),
            )),
            Ok(()) => self.acknowledge(id, *context.hash()).await,
            Err(error) => Err(error),
        };
        if let Err(error) = acknowledged {
            enclave.erase(id.into_bytes()).await?;
            return Err(error);
        }
        Ok(Taken {
            grant,
            context: Arc::new(context),
            gate: Gate::from_bytes(*installed.gate),
            pinned: installed.pinned,
        })
    }

    async fn acknowledge(&self, bundle: Uuid, context: [u8; 32]) -> Result<(), GrantError> {
        let item = Acknowledged {
            bundle: bundle.into_bytes(),
            context,
        };
        match self.acknowledgements.add(item).await {
            Some(Ok(None)) => Ok(()),
            Some(Ok(Some(problem))) => Err(GrantError::Unacknowledged(problem)),
            Some(Err(error)) => Err(error.into()),
            None => Err(LinkError::Untold.into()),
        }
    }
}

/// Looks whether a bundle is of the pair that was drawn: another one's producer would be sent
/// this one's calls.
fn is_of(granted: Uuid, drawn: Option<Uuid>) -> Result<(), GrantError> {
    match drawn.is_none_or(|drawn| drawn == granted) {
        true => Ok(()),
        false => Err(GrantError::Untrusted(
            "it is of another pair than was drawn".into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bundle_is_taken_of_another_pair_than_was_drawn() {
        let (drawn, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert!(is_of(drawn, Some(drawn)).is_ok());
        assert!(is_of(drawn, None).is_ok());
        assert!(is_of(other, Some(drawn)).is_err());
    }
}
