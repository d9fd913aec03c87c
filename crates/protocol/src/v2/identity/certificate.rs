//! Keys of parties. A party that holds a key outside of the control plane certifies its
//! endpoints' keys with it, itself or through a key that it certified for a short time. A
//! peer that pins the party's key believes nothing that such a chain does not reach.

use ed25519_dalek::VerifyingKey;

use crate::{
    crypto::{Sign, verify},
    v2::{
        VERSION,
        fields::{Reader, join},
    },
};

use super::{error::IdentityError, read};

const LABEL_ENDPOINT: &[u8] = b"armour/2 party endpoint";
const LABEL_CERTIFIER: &[u8] = b"armour/2 party certifier";

/// Bytes of a certifier: key, not after, signature.
const CERTIFIER_LEN: usize = 32 + 8 + 64;

/// What an endpoint is within a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Role {
    /// It calls.
    Consumer = 1,
    /// It serves.
    Producer = 2,
}

/// Seconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(pub u64);

/// What a party vouches for. Identifiers are UUIDs' 16 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The tenant.
    pub tenant: [u8; 16],
    /// The party whose endpoint it is.
    pub party: [u8; 16],
    /// What the endpoint is.
    pub role: Role,
    /// The endpoint.
    pub endpoint: [u8; 16],
    /// The endpoint's long-term signing key.
    pub signing_key: VerifyingKey,
    /// The endpoint's long-term KEM key.
    pub kem_key: [u8; 32],
    /// The last second at which this holds.
    pub not_after: UnixTime,
}

/// A key that a party certified to certify endpoints in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certifier {
    key: VerifyingKey,
    not_after: UnixTime,
    signature: [u8; 64],
}

/// A party's word for an endpoint's keys. It may not be the party's: verify it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    subject: Subject,
    certifier: Option<Certifier>,
    signature: [u8; 64],
}

/// The key that a peer holds a party to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The tenant.
    pub tenant: [u8; 16],
    /// The party.
    pub party: [u8; 16],
    /// The party's key.
    pub key: VerifyingKey,
}

/// What a chain that reaches its pin says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Certified<'a> {
    /// The endpoint's long-term signing key.
    pub signing_key: &'a VerifyingKey,
    /// The endpoint's long-term KEM key.
    pub kem_key: &'a [u8; 32],
    /// The last second at which all of the chain holds.
    pub until: UnixTime,
}

impl Certifier {
    /// Certifies a key of this party's, with the party's key.
    pub fn certify(pin: &Pin, key: VerifyingKey, not_after: UnixTime, party: &impl Sign) -> Self {
        let signature = party.signature(&certifier_statement(pin, &key, not_after));
        Self {
            key,
            not_after,
            signature,
        }
    }

    /// The key that may certify. It may not be the party's word: [`Certifier::verify`].
    pub fn key(&self) -> &VerifyingKey {
        &self.key
    }

    /// The last second at which it may.
    pub fn not_after(&self) -> UnixTime {
        self.not_after
    }

    /// Checks that the pinned party lets this key certify its endpoints at this time.
    ///
    /// # Errors
    /// [`IdentityError::Signature`] or [`IdentityError::Expired`].
    pub fn verify(&self, pin: &Pin, now: UnixTime) -> Result<(), IdentityError> {
        self.verify_signature(pin)?;
        match now <= self.not_after {
            true => Ok(()),
            false => Err(IdentityError::Expired),
        }
    }

    /// The certifier's bytes, as they are in a certificate.
    pub fn to_bytes(&self) -> [u8; CERTIFIER_LEN] {
        let mut out = [0; CERTIFIER_LEN];
        out[..32].copy_from_slice(self.key.as_bytes());
        out[32..40].copy_from_slice(&self.not_after.0.to_be_bytes());
        out[40..].copy_from_slice(&self.signature);
        out
    }

    /// Reads what [`Certifier::to_bytes`] wrote; nothing of it is checked.
    ///
    /// # Errors
    /// [`IdentityError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, IdentityError> {
        let mut reader = Reader::new(bytes);
        let certifier = Self::read(&mut reader)?;
        reader.end()?;
        Ok(certifier)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, IdentityError> {
        Ok(Self {
            key: read::key(reader)?,
            not_after: UnixTime(reader.u64()?),
            signature: reader.array()?,
        })
    }

    fn verify_signature(&self, pin: &Pin) -> Result<(), IdentityError> {
        let statement = certifier_statement(pin, &self.key, self.not_after);
        match verify(&pin.key, &statement, &self.signature) {
            true => Ok(()),
            false => Err(IdentityError::Signature),
        }
    }
}

impl Certificate {
    /// What it says, which may not be the party's word: [`Certificate::verify`].
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The key that signed it in the party's place, if it was not the party's own.
    pub fn certifier(&self) -> Option<&Certifier> {
        self.certifier.as_ref()
    }

    /// Certifies an endpoint: with the party's key, or with the one that `certifier` is of.
    pub fn certify(subject: Subject, certifier: Option<Certifier>, key: &impl Sign) -> Self {
        let signature = key.signature(&subject.statement());
        Self {
            subject,
            certifier,
            signature,
        }
    }

    /// What it says, which may be nobody's word.
    pub fn unverified(&self) -> &Subject {
        &self.subject
    }

    /// Checks that the pinned party vouches for this endpoint's keys at this time.
    ///
    /// # Errors
    /// [`IdentityError::Party`], [`IdentityError::Subject`], [`IdentityError::Expired`] or
    /// [`IdentityError::Signature`].
    pub fn verify(
        &self,
        pin: &Pin,
        role: Role,
        endpoint: &[u8; 16],
        now: UnixTime,
    ) -> Result<Certified<'_>, IdentityError> {
        let subject = &self.subject;
        if (subject.tenant, subject.party) != (pin.tenant, pin.party) {
            return Err(IdentityError::Party);
        }
        if (subject.role, &subject.endpoint) != (role, endpoint) {
            return Err(IdentityError::Subject);
        }
        let (signer, until) = match &self.certifier {
            None => (&pin.key, subject.not_after),
            Some(certifier) => {
                certifier.verify_signature(pin)?;
                let until = certifier.not_after.min(subject.not_after);
                (&certifier.key, until)
            }
        };
        if !verify(signer, &subject.statement(), &self.signature) {
            return Err(IdentityError::Signature);
        }
        match now <= until {
            true => Ok(Certified {
                signing_key: &subject.signing_key,
                kem_key: &subject.kem_key,
                until,
            }),
            false => Err(IdentityError::Expired),
        }
    }

    /// The certificate's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let subject = &self.subject;
        let mut out = vec![VERSION, u8::from(self.certifier.is_some())];
        out.extend_from_slice(&subject.tenant);
        out.extend_from_slice(&subject.party);
        out.push(subject.role as u8);
        out.extend_from_slice(&subject.endpoint);
        out.extend_from_slice(subject.signing_key.as_bytes());
        out.extend_from_slice(&subject.kem_key);
        out.extend_from_slice(&subject.not_after.0.to_be_bytes());
        if let Some(certifier) = &self.certifier {
            out.extend_from_slice(&certifier.to_bytes());
        }
        out.extend_from_slice(&self.signature);
        out
    }

    /// Reads what [`Certificate::to_bytes`] wrote; nothing of it is checked.
    ///
    /// # Errors
    /// [`IdentityError::Malformed`] or [`IdentityError::Version`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, IdentityError> {
        let mut reader = Reader::new(bytes);
        read::version(&mut reader)?;
        let through = match reader.u8()? {
            0 => false,
            1 => true,
            _ => return Err(IdentityError::Malformed),
        };
        let subject = Subject {
            tenant: reader.array()?,
            party: reader.array()?,
            role: Role::from_u8(reader.u8()?)?,
            endpoint: reader.array()?,
            signing_key: read::key(&mut reader)?,
            kem_key: reader.array()?,
            not_after: UnixTime(reader.u64()?),
        };
        let certifier = match through {
            false => None,
            true => Some(Certifier::read(&mut reader)?),
        };
        let signature = reader.array()?;
        reader.end()?;
        Ok(Self {
            subject,
            certifier,
            signature,
        })
    }
}

impl Role {
    fn from_u8(number: u8) -> Result<Self, IdentityError> {
        match number {
            1 => Ok(Self::Consumer),
            2 => Ok(Self::Producer),
            _ => Err(IdentityError::Malformed),
        }
    }
}

impl Subject {
    fn statement(&self) -> Vec<u8> {
        join(
            LABEL_ENDPOINT,
            &[
                &self.tenant,
                &self.party,
                &[self.role as u8],
                &self.endpoint,
                self.signing_key.as_bytes(),
                &self.kem_key,
                &self.not_after.0.to_be_bytes(),
            ],
        )
    }
}

/// The party is the pin's, so that a key certified for one party certifies for no other.
fn certifier_statement(pin: &Pin, key: &VerifyingKey, not_after: UnixTime) -> Vec<u8> {
    let until = not_after.0.to_be_bytes();
    join(
        LABEL_CERTIFIER,
        &[&pin.tenant, &pin.party, key.as_bytes(), &until],
    )
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;

    const NOW: UnixTime = UnixTime(1_000);

    fn signing(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn pin() -> Pin {
        Pin {
            tenant: [1; 16],
            party: [2; 16],
            key: signing(1).verifying_key(),
        }
    }

    fn subject() -> Subject {
        Subject {
            tenant: [1; 16],
            party: [2; 16],
            role: Role::Producer,
            endpoint: [3; 16],
            signing_key: signing(3).verifying_key(),
            kem_key: [4; 32],
            not_after: UnixTime(1_500),
        }
    }

    fn checked(certificate: &Certificate, pin: &Pin, now: u64) -> Result<UnixTime, IdentityError> {
        let certificate = Certificate::from_bytes(&certificate.to_bytes()).unwrap();
        let certified = certificate.verify(pin, Role::Producer, &[3; 16], UnixTime(now))?;
        assert_eq!(*certified.signing_key, signing(3).verifying_key());
        assert_eq!(certified.kem_key, &[4; 32]);
        Ok(certified.until)
    }

    fn through(until: u64, signer: u8) -> Certificate {
        let key = signing(2).verifying_key();
        let certifier = Certifier::certify(&pin(), key, UnixTime(until), &signing(1));
        Certificate::certify(subject(), Some(certifier), &signing(signer))
    }

    #[test]
    fn a_chain_reaches_its_pin() {
        let direct = Certificate::certify(subject(), None, &signing(1));
        assert_eq!(direct.to_bytes().len(), 187);
        assert_eq!(checked(&direct, &pin(), NOW.0), Ok(UnixTime(1_500)));
        let chained = through(1_100, 2);
        assert_eq!(chained.to_bytes().len(), 291);
        assert_eq!(checked(&chained, &pin(), NOW.0), Ok(UnixTime(1_100)));
    }

    /// A certifier's end is the end of all that it certified.
    #[test]
    fn either_end_ends_a_chain() {
        let expired = Err(IdentityError::Expired);
        let direct = Certificate::certify(subject(), None, &signing(1));
        assert_eq!(checked(&direct, &pin(), 1_500), Ok(UnixTime(1_500)));
        assert_eq!(checked(&direct, &pin(), 1_501), expired);
        assert_eq!(checked(&through(1_100, 2), &pin(), 1_101), expired);
        assert_eq!(checked(&through(2_000, 2), &pin(), 1_501), expired);
    }

    #[test]
    fn a_certifier_stands_alone() {
        let key = signing(2).verifying_key();
        let certifier = Certifier::certify(&pin(), key, UnixTime(1_100), &signing(1));
        let bytes = certifier.to_bytes();
        let read = Certifier::from_bytes(&bytes).unwrap();
        assert_eq!(read, certifier);
        assert_eq!((read.key(), read.not_after()), (&key, UnixTime(1_100)));
        assert_eq!(read.verify(&pin(), UnixTime(1_100)), Ok(()));
        assert_eq!(
            read.verify(&pin(), UnixTime(1_101)),
            Err(IdentityError::Expired)
        );
        let other = Pin {
            party: [8; 16],
            ..pin()
        };
        let wrong = Err(IdentityError::Signature);
        assert_eq!(read.verify(&other, NOW), wrong);
        for at in 0..bytes.len() {
            let mut changed = bytes;
            changed[at] ^= 1;
            let verified = Certifier::from_bytes(&changed).and_then(|one| one.verify(&pin(), NOW));
            assert!(verified.is_err(), "byte {at}");
        }
        assert!(Certifier::from_bytes(&bytes[1..]).is_err());
        assert!(Certifier::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn nobody_else_vouches() {
        let wrong = Err(IdentityError::Signature);
        let own = Certificate::certify(subject(), None, &signing(9));
        assert_eq!(checked(&own, &pin(), NOW.0), wrong);
        assert_eq!(checked(&through(1_100, 9), &pin(), NOW.0), wrong);
        // A certifier that the party did not certify, and one of another party.
        let key = signing(2).verifying_key();
        let other = Certifier::certify(&pin(), key, NOW, &signing(9));
        let by_other = Certificate::certify(subject(), Some(other), &signing(2));
        assert_eq!(checked(&by_other, &pin(), NOW.0), wrong);
        let elsewhere = Pin {
            party: [8; 16],
            ..pin()
        };
        let certifier = Certifier::certify(&elsewhere, key, NOW, &signing(1));
        let moved = Certificate::certify(subject(), Some(certifier), &signing(2));
        assert_eq!(checked(&moved, &pin(), NOW.0), wrong);
        // A certified key certifies endpoints, but no other key.
        let nested = Certifier::certify(&pin(), signing(5).verifying_key(), NOW, &signing(2));
        let nested = Certificate::certify(subject(), Some(nested), &signing(5));
        assert_eq!(checked(&nested, &pin(), NOW.0), wrong);
    }

    #[test]
    fn a_certificate_is_of_one_endpoint_in_one_role() {
        let direct = Certificate::certify(subject(), None, &signing(1));
        let other = Pin {
            tenant: [9; 16],
            ..pin()
        };
        assert_eq!(checked(&direct, &other, NOW.0), Err(IdentityError::Party));
        let verify = |role, endpoint| direct.verify(&pin(), role, endpoint, NOW).err();
        let wrong = Some(IdentityError::Subject);
        assert_eq!(verify(Role::Consumer, &[3; 16]), wrong);
        assert_eq!(verify(Role::Producer, &[4; 16]), wrong);
        assert_eq!(verify(Role::Producer, &[3; 16]), None);
    }

    #[test]
    fn every_field_is_signed() {
        let certificate = through(1_100, 2);
        let bytes = certificate.to_bytes();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let read = Certificate::from_bytes(&changed);
            let verified = read.and_then(|read| {
                let endpoint = read.subject.endpoint;
                let checked = read.verify(&pin(), read.subject.role, &endpoint, NOW);
                checked.map(|_| ())
            });
            assert!(verified.is_err(), "byte {at}");
        }
        assert!(Certificate::from_bytes(&bytes[..bytes.len() - 1]).is_err());
        assert!(Certificate::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
    }
}
