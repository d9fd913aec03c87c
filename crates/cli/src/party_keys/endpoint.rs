//! An endpoint's public data, as the control plane or the command line says it.

use anyhow::{Context as _, bail};
use armour_api as api;
use armour_protocol::v2::identity::certificate::{Role, Subject, UnixTime};
use clap::Args;
use ed25519_dalek::VerifyingKey;
use uuid::Uuid;

use super::encoding::{bytes32, public_key, to_base64};
use crate::commands::Side;

/// What is known of an endpoint without the control plane. What is given is certified as it
/// is; with a control plane it has to say the same.
#[derive(Debug, Args)]
pub(super) struct Known {
    /// The tenant.
    #[arg(long)]
    pub(super) tenant: Option<Uuid>,
    /// The producer's or consumer's id.
    #[arg(long)]
    pub(super) party: Option<Uuid>,
    /// What the endpoint is.
    #[arg(long, value_enum)]
    pub(super) role: Option<Side>,
    /// The endpoint's long-term signing key in base64, as its host says it.
    #[arg(long, value_parser = public_key)]
    pub(super) signing_key: Option<VerifyingKey>,
    /// The endpoint's long-term KEM key in base64, as its host says it.
    #[arg(long, value_parser = bytes32)]
    pub(super) kem_key: Option<[u8; 32]>,
}

impl Known {
    /// A subject of what the command line says alone.
    ///
    /// # Errors
    /// If something is missing.
    pub(super) fn subject(&self, endpoint: Uuid, until: UnixTime) -> anyhow::Result<Subject> {
        let missing = |flag| format!("--offline asks no control plane: give {flag}");
        Ok(Subject {
            tenant: self
                .tenant
                .with_context(|| missing("--tenant"))?
                .into_bytes(),
            party: self.party.with_context(|| missing("--party"))?.into_bytes(),
            role: role(self.role.with_context(|| missing("--role"))?.into()),
            endpoint: endpoint.into_bytes(),
            signing_key: self.signing_key.with_context(|| missing("--signing-key"))?,
            kem_key: self.kem_key.with_context(|| missing("--kem-key"))?,
            not_after: until,
        })
    }

    /// Compares what the control plane says with what the command line does.
    ///
    /// # Errors
    /// At the first difference.
    pub(super) fn check(&self, subject: &Subject) -> anyhow::Result<()> {
        let same = |given: Option<bool>, what: &str, said: String| match given {
            Some(false) => bail!(
                "the control plane says otherwise: the endpoint's {what} is {said}. \
                 Nothing is certified; find out who is right"
            ),
            _ => Ok(()),
        };
        let id = |bytes| Uuid::from_bytes(bytes).to_string();
        let tenant = self.tenant.map(|one| one.into_bytes() == subject.tenant);
        same(tenant, "tenant", id(subject.tenant))?;
        let party = self.party.map(|one| one.into_bytes() == subject.party);
        same(party, "party", id(subject.party))?;
        let side = self.role.map(|one| role(one.into()) == subject.role);
        same(side, "role", role_word(subject.role).to_owned())?;
        let signing = self.signing_key.map(|one| one == subject.signing_key);
        same(signing, "signing key", to_base64(subject.signing_key))?;
        let kem = self.kem_key.map(|one| one == subject.kem_key);
        same(kem, "KEM key", to_base64(subject.kem_key))
    }

    /// Whether both keys came from elsewhere than the control plane.
    pub(super) fn has_keys(&self) -> bool {
        self.signing_key.is_some() && self.kem_key.is_some()
    }
}

/// A subject as the control plane says it.
///
/// # Errors
/// If its keys are none.
pub(super) fn enrolled(endpoint: &api::Endpoint, until: UnixTime) -> anyhow::Result<Subject> {
    let said = |what| format!("the control plane's {what} of endpoint {}", endpoint.id);
    Ok(Subject {
        tenant: endpoint.tenant_id.into_bytes(),
        party: endpoint.party_id.into_bytes(),
        role: role(endpoint.role),
        endpoint: endpoint.id.into_bytes(),
        signing_key: public_key(&endpoint.signing_key).with_context(|| said("signing key"))?,
        kem_key: bytes32(&endpoint.kem_key).with_context(|| said("KEM key"))?,
        not_after: until,
    })
}

/// A role's word.
pub(super) fn role_word(role: Role) -> &'static str {
    match role {
        Role::Consumer => "consumer",
        Role::Producer => "producer",
    }
}

fn role(role: api::Role) -> Role {
    match role {
        api::Role::Consumer => Role::Consumer,
        api::Role::Producer => Role::Producer,
    }
}
