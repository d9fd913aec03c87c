//! A bundle as the control plane grants it, read and checked; and why there is none.

use std::time::Duration;

use armour_api::{BundleEnd, BundleGrant, BundleState, Policy, Problem, Role};
use armour_client::ClientError;
use armour_enclave::{
    EnclaveError,
    binding::{Binding, BindingEnd},
    ipc::{Install, Peer},
};
use armour_protocol::v2::identity::start::SignedStart;
use armour_transparency::states::GrantedEnd;
use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};
use thiserror::Error;
use uuid::Uuid;

use super::{chain::LinkError, enrolment::Identity};

/// What an endpoint needs to know of a bundle that it serves.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The bundle.
    pub id: Uuid,
    /// Its pair.
    pub pair: Uuid,
    /// The consumer's endpoint.
    pub consumer: Uuid,
    /// The producer's endpoint.
    pub producer: Uuid,
    /// Where the producer is reached.
    pub producer_address: Option<String>,
    /// The policy that it was minted under.
    pub policy: Policy,
    /// Most lanes at a time.
    pub max_lanes: u16,
    /// The bundle's state when it was granted.
    pub state: BundleState,
    /// What its keys and signatures are bound to.
    pub binding: Binding,
}

/// Why there is no grant.
#[derive(Debug, Error)]
pub enum GrantError {
    /// The control plane refused or is out of reach.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// What it granted does not hold.
    #[error("the control plane's grant is not to be trusted: {0}")]
    Untrusted(String),
    /// What it granted is not what the log says, perhaps by now.
    #[error("the control plane's grant is not what its log says: {0}")]
    Outdated(String),
    /// It is below what this agent takes, whatever the pair's policy.
    #[error("the bundle is below this agent's floors: {0}")]
    Below(String),
    /// The enclave does not install it.
    #[error("the bundle is not installed: {0}")]
    Enclave(#[from] EnclaveError),
    /// What the enclave learnt of the peer cannot be kept.
    #[error("the data folder cannot be written: {0}")]
    Unkept(std::io::Error),
    /// The control plane does not take the acknowledgement.
    #[error("the bundle is not acknowledged: {} ({})", .0.detail, .0.r#type)]
    Unacknowledged(Box<Problem>),
    /// Nothing came of the acknowledgement.
    #[error("the bundle is not acknowledged: {0}")]
    Link(#[from] LinkError),
}

impl GrantError {
    /// Whether the log that vouches is not the one that was seen before.
    pub(super) fn is_of_another_log(&self) -> bool {
        match self {
            Self::Client(error) => error.is("log-behind"),
            Self::Untrusted(_) => true,
            _ => false,
        }
    }
}

impl Grant {
    /// How long the agent may serve without hearing from the control plane.
    pub fn lease(&self) -> Duration {
        Duration::from_millis(self.policy.lease_ms.into())
    }

    /// Reads a grant of this endpoint's bundle, which is installed at `now`, in seconds
    /// since 1970. What peers sign is verified in the enclave.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub(super) fn read(
        grant: BundleGrant,
        bundle: Uuid,
        own: Identity,
        now: u64,
    ) -> Result<(Self, Install), String> {
        let consumer = own.role == Role::Consumer;
        let (ours, theirs) = match consumer {
            true => (&grant.consumer, &grant.producer),
            false => (&grant.producer, &grant.consumer),
        };
        let named = &grant.bundle;
        if (named.id, grant.tenant_id) != (bundle, own.tenant)
            || ours.endpoint_id != own.id
            || named.consumer_endpoint_id != grant.consumer.endpoint_id
            || named.producer_endpoint_id != grant.producer.endpoint_id
        {
            return Err("it is of another bundle or endpoint".into());
        }
        let policy = grant.policy.hash();
        let binding = Binding {
            suite: named.suite,
            tenant: grant.tenant_id.into_bytes(),
            pair: named.pair_id.into_bytes(),
            bundle: bundle.into_bytes(),
            draw: grant.draw,
            policy: policy.map_err(|error| format!("policy: {error}"))?,
            consumer: end(&grant.consumer)?,
            producer: end(&grant.producer)?,
        };
        let sealed = grant.sealed_secret.as_deref();
        let sealed = sealed.ok_or("it comes without the bundle's secret")?;
        let install = Install {
            binding: binding.clone(),
            consumer,
            peer: peer(theirs)?,
            envelope: bytes("sealed_secret", sealed)?,
            max_lanes: u16::try_from(grant.policy.max_lanes).unwrap_or(u16::MAX),
            now,
        };
        let read = Self {
            id: bundle,
            pair: named.pair_id,
            consumer: grant.consumer.endpoint_id,
            producer: grant.producer.endpoint_id,
            producer_address: grant.producer_address,
            max_lanes: install.max_lanes,
            policy: grant.policy,
            state: named.state,
            binding,
        };
        Ok((read, install))
    }
}

/// The ends of a bundle, as the log has to bear them out.
///
/// # Errors
/// A sentence that says what is wrong.
pub(super) fn granted_ends(grant: &BundleGrant) -> Result<[GrantedEnd; 2], String> {
    Ok([
        granted_end(&grant.consumer, None)?,
        granted_end(&grant.producer, grant.producer_address.as_deref())?,
    ])
}

fn granted_end(end: &BundleEnd, address: Option<&str>) -> Result<GrantedEnd, String> {
    let start = SignedStart::from_bytes(&bytes("start", &end.start)?);
    let start = start.map_err(|error| format!("start: {error}"))?;
    let certificate = end.certificate.as_deref();
    let certificate = certificate.map(|text| bytes("certificate", text));
    Ok(GrantedEnd {
        endpoint: end.endpoint_id,
        start: start.unverified().hash().0,
        certificate: certificate
            .transpose()?
            .map(|bytes| Sha256::digest(bytes).into()),
        address: address.map(str::to_owned),
    })
}

fn end(end: &BundleEnd) -> Result<BindingEnd, String> {
    Ok(BindingEnd {
        party: end.party_id.into_bytes(),
        endpoint: end.endpoint_id.into_bytes(),
        key: key("incarnation_key", &end.incarnation_key)?,
    })
}

fn peer(end: &BundleEnd) -> Result<Peer, String> {
    let renewals = end.renewals.iter();
    let certificate = end.certificate.as_deref();
    Ok(Peer {
        signing_key: key("signing_key", &end.signing_key)?,
        kem_key: key("kem_key", &end.kem_key)?,
        start: bytes("start", &end.start)?,
        renewals: renewals
            .map(|renewal| bytes("renewals", renewal))
            .collect::<Result<_, _>>()?,
        certificate: certificate
            .map(|certificate| bytes("certificate", certificate))
            .transpose()?,
    })
}

fn key(field: &str, text: &str) -> Result<[u8; 32], String> {
    let key = bytes(field, text)?;
    key.try_into()
        .map_err(|_| format!("{field} is not 32 bytes"))
}

fn bytes(field: &str, text: &str) -> Result<Vec<u8>, String> {
    STANDARD
        .decode(text)
        .map_err(|error| format!("{field}: {error}"))
}
