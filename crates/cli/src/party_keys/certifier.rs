//! `armour party-keys certifier`: a key that certifies a party's endpoints for a short time,
//! so that the party's own can stay where no network is.
//!
//! The certifier's key is made where it is used, and only its public half comes here. What the
//! party signs goes back in a file that is no secret:
//! `{"tenant":…,"party":…,"party_key":base64,"certifier":base64}`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use armour_ambient::Clock;
use armour_enclave::durable::{SHARED, write_whole};
use armour_protocol::v2::identity::certificate::{Certifier, Pin};
use clap::Args;
use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{
    encoding::{base64, now, public_key, time, to_base64},
    key_file,
    validity::Validity,
};
use crate::output::Output;

/// Lets another key certify a party's endpoints for a short time.
#[derive(Debug, Args)]
pub struct CertifyKey {
    /// The other key's public half, in base64, as `create` showed it.
    #[arg(value_parser = public_key)]
    public_key: VerifyingKey,
    /// File of the party's key.
    #[arg(long, value_name = "FILE")]
    party_key: PathBuf,
    /// The tenant.
    #[arg(long)]
    tenant: Uuid,
    /// The producer's or consumer's id.
    #[arg(long)]
    party: Uuid,
    /// For how long, for example 12h. Nothing ends it sooner, whoever has the key by then.
    #[arg(long, default_value_t = Validity(24 * 3_600))]
    valid_for: Validity,
    /// Where it is written; what is there is replaced.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// A certifier, and the party that it is of.
#[derive(Debug, Clone)]
pub(super) struct PartyCertifier {
    /// The party and its key, as the file says them. Who checks a certificate has to have a
    /// pin of their own.
    pub(super) pin: Pin,
    pub(super) certifier: Certifier,
}

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    tenant: Uuid,
    party: Uuid,
    party_key: String,
    certifier: String,
}

impl CertifyKey {
    pub(super) fn run(self, output: Output, clock: &Clock) -> anyhow::Result<()> {
        key_file::warn_if_open(&self.party_key);
        let party = key_file::read(&self.party_key)?;
        let pin = Pin {
            tenant: self.tenant.into_bytes(),
            party: self.party.into_bytes(),
            key: party.verifying_key(),
        };
        let until = self.valid_for.from(now(clock));
        let certifier = Certifier::certify(&pin, self.public_key, until, &party);
        PartyCertifier { pin, certifier }.write(&self.out)?;
        let said = json!({ "file": self.out, "public_key": to_base64(self.public_key),
            "not_after": time(until) });
        output.print(&said, &[])
    }
}

impl PartyCertifier {
    /// Reads a certifier. Its signature is checked when it is used.
    ///
    /// # Errors
    /// If the file cannot be read or is none.
    pub(super) fn read(file: &Path) -> anyhow::Result<Self> {
        let shown = file.display();
        let text = std::fs::read_to_string(file).with_context(|| format!("read {shown}"))?;
        let read = || {
            let written: Written = serde_json::from_str(&text)?;
            let certifier = Certifier::from_bytes(&base64(&written.certifier)?);
            anyhow::Ok(Self {
                pin: Pin {
                    tenant: written.tenant.into_bytes(),
                    party: written.party.into_bytes(),
                    key: public_key(&written.party_key).context("party_key")?,
                },
                certifier: certifier.map_err(|why| anyhow!("certifier: {why}"))?,
            })
        };
        read().with_context(|| format!("{shown} is not what `party-keys certifier` writes"))
    }

    fn write(&self, file: &Path) -> anyhow::Result<()> {
        let written = Written {
            tenant: Uuid::from_bytes(self.pin.tenant),
            party: Uuid::from_bytes(self.pin.party),
            party_key: to_base64(self.pin.key),
            certifier: to_base64(self.certifier.to_bytes()),
        };
        let mut text = serde_json::to_vec_pretty(&written)?;
        text.push(b'\n');
        write_whole(file, &text, SHARED).with_context(|| format!("write {}", file.display()))
    }
}
