//! Admitting an agent as an endpoint, whoever vouches for it.

use armour_api::{Endpoint, Enrol, Role};
use armour_storage::{Actor, Counted, NewEndpoint, NewEvent, PairingAction, Tx};
use base64::{Engine, engine::general_purpose::STANDARD};
use uuid::Uuid;

use crate::http::{
    extract::check_text,
    problem::{ApiError, ApiResult},
};

/// Who vouches for an agent, and what it may become.
pub(super) struct Admission {
    /// Who vouches, as in audit entries.
    pub(super) actor: Actor,
    /// On which side of pairs.
    pub(super) role: Role,
    /// For whom.
    pub(super) party: Uuid,
}

/// The keys that the agent holds.
pub(super) struct Keys {
    signing: [u8; 32],
    kem: [u8; 32],
}

impl Keys {
    /// Reads and checks what the agent says of itself.
    ///
    /// # Errors
    /// 400 `invalid-request`.
    pub(super) fn read(new: &Enrol) -> ApiResult<Self> {
        check_text("name", &new.name, 100)?;
        check_text("version", &new.version, 50)?;
        let signing = key("signing_key", &new.signing_key)?;
        ed25519_dalek::VerifyingKey::from_bytes(&signing)
            .ok()
            .filter(|key| !key.is_weak())
            .ok_or_else(|| ApiError::invalid("signing_key is not an Ed25519 public key"))?;
        let kem = key("kem_key", &new.kem_key)?;
        Ok(Self { signing, kem })
    }
}

/// Makes the agent an endpoint.
///
/// # Errors
/// 400 `invalid-request` if its address does not fit its role; 403 `over-quota`.
pub(super) async fn admit(
    tx: &mut Tx,
    admission: &Admission,
    new: &Enrol,
    keys: &Keys,
) -> ApiResult<Endpoint> {
    let role = admission.role;
    check_address(role, new.address.as_deref())?;
    tx.quotas().check(Counted::Endpoints).await?;
    let id = tx.new_id();
    // The entry that agents will ask for proof of: whose keys these are.
    let action = PairingAction::EndpointEnrol {
        id,
        role,
        party_id: admission.party,
        name: &new.name,
        signing_key: &keys.signing,
        kem_key: &keys.kem,
        address: new.address.as_deref(),
    };
    let enrol_entry = tx.audit_log().append(&admission.actor, action).await?;
    let endpoint = tx
        .endpoints()
        .create(&NewEndpoint {
            id,
            role,
            party: admission.party,
            name: &new.name,
            signing_key: &keys.signing,
            kem_key: &keys.kem,
            address: new.address.as_deref(),
            version: &new.version,
            enrol_entry: &enrol_entry,
        })
        .await?;
    tx.events()
        .record(NewEvent::EndpointEnrolled {
            endpoint: endpoint.id,
            role,
            name: &endpoint.name,
        })
        .await?;
    Ok(endpoint)
}

fn key(field: &str, text: &str) -> ApiResult<[u8; 32]> {
    STANDARD
        .decode(text)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| ApiError::invalid(format!("{field} must be 32 bytes in base64")))
}

/// A producer's endpoint is called at its address; a consumer's has none.
pub fn check_address(role: Role, address: Option<&str>) -> ApiResult<()> {
    match (role, address) {
        (Role::Producer, Some(address)) if is_origin(address) => Ok(()),
        (Role::Producer, Some(_)) => Err(ApiError::invalid(
            "address must be http://host:port or https://host:port",
        )),
        (Role::Producer, None) => Err(ApiError::invalid("a producer's endpoint needs an address")),
        (Role::Consumer, Some(_)) => Err(ApiError::invalid("a consumer's endpoint has no address")),
        (Role::Consumer, None) => Ok(()),
    }
}

fn is_origin(address: &str) -> bool {
    let uri: Option<http::Uri> = address.parse().ok().filter(|_| address.len() <= 300);
    uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.authority().is_some_and(|a| !a.as_str().contains('@'))
            && matches!(uri.path(), "" | "/")
            && uri.query().is_none()
    })
}
