//! Who signs certificates: a party's key, or a key that the party certified for a time.

use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use armour_protocol::v2::identity::{
    IdentityError,
    certificate::{Certificate, Certifier, Pin, Subject, UnixTime},
};
use ed25519_dalek::SigningKey;
use uuid::Uuid;

use super::{certifier::PartyCertifier, encoding::time, key_file};

/// A key, and the party's word for it if it is not the party's own.
pub(super) struct Issuer {
    key: SigningKey,
    certifier: Option<PartyCertifier>,
}

impl Issuer {
    /// Reads a key, and a certifier's file if it is a certifier's.
    ///
    /// # Errors
    /// If a file cannot be read or used, or if the two do not belong together.
    pub(super) fn read(key: &Path, certifier: Option<&Path>) -> anyhow::Result<Self> {
        let issuer = Self::new(
            key_file::read(key)?,
            certifier.map(PartyCertifier::read).transpose()?,
        );
        issuer.map_err(|why| why.context(format!("certify with {}", key.display())))
    }

    /// The same, of what was read.
    ///
    /// # Errors
    /// If the certifier is of another key.
    pub(super) fn new(key: SigningKey, certifier: Option<PartyCertifier>) -> anyhow::Result<Self> {
        let certified = certifier.as_ref().map(|one| one.certifier.key());
        if certified.is_some_and(|certified| *certified != key.verifying_key()) {
            bail!("the certifier's file is of another key");
        }
        Ok(Self { key, certifier })
    }

    /// What the other side has to pin for a party's certificates to hold.
    ///
    /// # Errors
    /// If the certifier is another party's.
    pub(super) fn pin(&self, tenant: [u8; 16], party: [u8; 16]) -> anyhow::Result<Pin> {
        let Some(of) = &self.certifier else {
            return Ok(Pin {
                tenant,
                party,
                key: self.key.verifying_key(),
            });
        };
        let pin = &of.pin;
        if (pin.tenant, pin.party) != (tenant, party) {
            bail!(
                "the endpoint is of party {} of tenant {}, the certifier of party {} of tenant {}",
                Uuid::from_bytes(party),
                Uuid::from_bytes(tenant),
                Uuid::from_bytes(pin.party),
                Uuid::from_bytes(pin.tenant),
            );
        }
        Ok(pin.clone())
    }

    /// Whose endpoints a certifier certifies, and until when at most.
    ///
    /// # Errors
    /// If it is no certifier's key, if its file is not the party's word, or if it has ended.
    pub(super) fn certified(&self, now: UnixTime) -> anyhow::Result<(Pin, UnixTime)> {
        let of = self.certifier.as_ref();
        let pin = of.map(|of| of.pin.clone()).context("no certifier's key")?;
        let certifier = self.certifier(&pin, now)?;
        let certifier = certifier.context("no certifier's key")?;
        Ok((pin, certifier.not_after()))
    }

    /// Certifies an endpoint; until its certifier's end at most.
    ///
    /// # Errors
    /// If the certifier is another party's, is not the party's word, or has ended.
    pub(super) fn certify(&self, subject: Subject, now: UnixTime) -> anyhow::Result<Certificate> {
        let pin = self.pin(subject.tenant, subject.party)?;
        let certifier = self.certifier(&pin, now)?;
        let until = certifier.as_ref().map(Certifier::not_after);
        let subject = Subject {
            not_after: until.map_or(subject.not_after, |until| subject.not_after.min(until)),
            ..subject
        };
        let (role, endpoint) = (subject.role, subject.endpoint);
        let certificate = Certificate::certify(subject, certifier, &self.key);
        // As whoever reads it will: so no one is handed what does not hold.
        let checked = certificate.verify(&pin, role, &endpoint, now);
        checked.map_err(|why| anyhow!("the certificate would not hold: {why}"))?;
        Ok(certificate)
    }

    fn certifier(&self, pin: &Pin, now: UnixTime) -> anyhow::Result<Option<Certifier>> {
        let Some(of) = &self.certifier else {
            return Ok(None);
        };
        match of.certifier.verify(pin, now) {
            Ok(()) => Ok(Some(of.certifier.clone())),
            Err(IdentityError::Expired) => bail!(
                "the certifier ended at {}: have the party's key certify it anew",
                time(of.certifier.not_after())
            ),
            Err(why) => bail!("the certifier's file is not the party's word: {why}"),
        }
    }
}
