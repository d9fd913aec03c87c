//! `armour party-keys certify`: a certificate for one endpoint.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use armour_ambient::Clock;
use armour_enclave::durable::{SHARED, write_whole};
use armour_protocol::v2::identity::certificate::{Certificate, Subject, UnixTime};
use clap::Args;
use serde_json::json;
use uuid::Uuid;

use super::{
    encoding::{now, time, to_base64},
    endpoint::{Known, enrolled, role_word},
    issuer::Issuer,
    key_file,
    validity::Validity,
};
use crate::access::{Access, As};

/// Certifies an endpoint.
#[derive(Debug, Args)]
pub struct Certify {
    /// The endpoint.
    endpoint: Uuid,
    /// File of the key that certifies: the party's, or a certifier's.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// What the party signed for the key, if it is a certifier's (`party-keys certifier`).
    #[arg(long, value_name = "FILE")]
    certifier: Option<PathBuf>,
    #[command(flatten)]
    known: Known,
    /// Ask no control plane: all of the endpoint is on the command line.
    #[arg(long, conflicts_with = "trust_control_plane")]
    offline: bool,
    /// Certify the keys that the control plane says, whoever has them. Then the certificate
    /// protects from what the control plane does later, and not from what it says now.
    #[arg(long)]
    trust_control_plane: bool,
    /// For how long, for example 12h; until its certifier's end at most. Nothing ends it
    /// sooner.
    #[arg(long, default_value_t = Validity(30 * 24 * 3_600))]
    valid_for: Validity,
    /// Where to write the certificate, in base64; what is there is replaced.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Certify {
    pub(super) async fn run(
        self,
        data: &Path,
        access: &Access,
        clock: &Clock,
    ) -> anyhow::Result<()> {
        key_file::warn_if_open(&self.key);
        let issuer = Issuer::read(&self.key, self.certifier.as_deref())?;
        let now = now(clock);
        let until = self.valid_for.from(now);
        let subject = match self.offline {
            true => self.known.subject(self.endpoint, until)?,
            false => self.ask(data, access, until).await?,
        };
        let certificate = issuer.certify(subject, now)?;
        if let Some(file) = &self.out {
            write(file, &certificate)?;
        }
        let subject = certificate.subject();
        access.output()?.print(
            &json!({
                "endpoint": self.endpoint,
                "tenant": Uuid::from_bytes(subject.tenant),
                "party": Uuid::from_bytes(subject.party),
                "role": role_word(subject.role),
                "not_after": time(subject.not_after),
                "certificate": to_base64(certificate.to_bytes()),
            }),
            &[],
        )
    }

    async fn ask(&self, data: &Path, access: &Access, until: UnixTime) -> anyhow::Result<Subject> {
        let client = access.client(data, As::Operator)?;
        let endpoint = client.endpoint_by_id(self.endpoint).await?;
        if endpoint.id != self.endpoint {
            bail!(
                "the control plane answers with another endpoint, {}",
                endpoint.id
            );
        }
        let subject = enrolled(&endpoint, until)?;
        self.known.check(&subject)?;
        if !self.known.has_keys() && !self.trust_control_plane {
            bail!(
                "only the control plane says which keys the endpoint has: signing key {}, KEM key \
                 {}. Compare them with what its host says and give them with --signing-key and \
                 --kem-key, or believe the control plane with --trust-control-plane",
                to_base64(subject.signing_key),
                to_base64(subject.kem_key),
            );
        }
        Ok(subject)
    }
}

/// Writes a certificate in base64, one line.
///
/// # Errors
/// If it cannot be written.
pub(super) fn write(file: &Path, certificate: &Certificate) -> anyhow::Result<()> {
    let line = format!("{}\n", to_base64(certificate.to_bytes()));
    write_whole(file, line.as_bytes(), SHARED).with_context(|| format!("write {}", file.display()))
}
