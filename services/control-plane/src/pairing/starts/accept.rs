//! What follows from a start's acceptance, and from its end.

use armour_api::{Endpoint, Role};
use armour_protocol::v2::identity::start::StartHash;
use armour_storage::{Actor, NewEvent, NewStart, PairingAction, StartSummary, Tx};

use crate::{
    http::problem::ApiResult,
    pairing::{addresses, alive::tell_back, assignments::changed},
};

/// A start that is announced, as its endpoint tells of it.
pub struct Announced<'a> {
    /// Whose it is.
    pub endpoint: &'a Endpoint,
    /// The start.
    pub new: NewStart<'a>,
    /// A producer's address, if it tells one.
    pub address: Option<&'a str>,
}

/// Makes a start the endpoint: the one before it ends, with its bundles.
///
/// # Errors
/// If the database refuses.
pub async fn accept(tx: &mut Tx, announced: &Announced<'_>, actor: &Actor) -> ApiResult<()> {
    let Announced {
        endpoint,
        new,
        address,
    } = announced;
    tx.starts().end(endpoint.id).await?;
    supersede(tx, endpoint, actor).await?;
    let moved = match address.filter(|_| endpoint.role == Role::Producer) {
        Some(address) => tx.endpoints().set_address(endpoint.id, address).await?,
        None => false,
    };
    tx.starts().record(new).await?;
    if tx.endpoints().touch(endpoint.id).await? {
        tell_back(tx, endpoint).await?;
    }
    let start = hex::encode(new.start.unverified().hash().0);
    let start = summary(&start, new);
    tx.audit_log()
        .append(
            actor,
            PairingAction::EndpointStart {
                id: endpoint.id,
                start,
                address: address.filter(|_| moved),
            },
        )
        .await?;
    tx.events()
        .record(NewEvent::EndpointStarted {
            endpoint: endpoint.id,
            start,
        })
        .await?;
    addresses::claim(tx, endpoint, moved).await?;
    changed(tx, endpoint).await
}

/// Ends the living start without a later one, with its bundles.
///
/// # Errors
/// If the database refuses.
pub async fn leave(
    tx: &mut Tx,
    endpoint: &Endpoint,
    actor: &Actor,
    reason: &str,
) -> ApiResult<Option<StartHash>> {
    let ended = tx.starts().end(endpoint.id).await?;
    let Some(start) = ended else {
        return Ok(None);
    };
    supersede(tx, endpoint, actor).await?;
    tx.audit_log()
        .append(
            actor,
            PairingAction::EndpointStartEnd {
                id: endpoint.id,
                start: &hex::encode(start.0),
                reason,
            },
        )
        .await?;
    changed(tx, endpoint).await?;
    Ok(ended)
}

/// What events and audit entries say of a start whose hash is this text.
pub fn summary<'a>(hash: &'a str, new: &NewStart<'a>) -> StartSummary<'a> {
    StartSummary {
        start: hash,
        counter: new.start.unverified().counter(),
        host: new.host,
        process: new.process,
    }
}

/// Ends the bundles that name the start that was the endpoint.
async fn supersede(tx: &mut Tx, endpoint: &Endpoint, actor: &Actor) -> ApiResult<()> {
    for (bundle, pair) in tx.bundles().supersede_all(endpoint.id).await? {
        let successor = None;
        tx.audit_log()
            .append(
                actor,
                PairingAction::BundleSupersede {
                    id: bundle,
                    successor,
                },
            )
            .await?;
        tx.events()
            .record(NewEvent::BundleSuperseded {
                pair,
                bundle,
                successor,
            })
            .await?;
    }
    Ok(())
}
