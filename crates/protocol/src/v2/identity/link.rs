//! Links of the one chain from an incarnation to the control plane. Each names the one
//! before it; the first names the start.

use ed25519_dalek::VerifyingKey;
use sha2::{Digest, Sha256};

use crate::{
    crypto::{Sign, verify},
    v2::{
        VERSION,
        fields::{Reader, hash, join},
    },
};

use super::{
    body::{LinkBody, LinkKind, MAX_BODY},
    error::IdentityError,
    mark::{Incarnated, LinkHash, LinkMark},
    read,
    start::StartHash,
};

const LABEL: &[u8] = b"armour/2 control link";
const EVIDENCE_LEN: usize = 1 + 16 + 32 + 8 + 32 + 1 + 32 + 64;

/// A link without its body: what is signed, recorded and compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkHead {
    pub(super) of: Incarnated,
    pub(super) k: u64,
    pub(super) previous: LinkHash,
    pub(super) kind: LinkKind,
    pub(super) digest: [u8; 32],
}

/// A link, which may not be the endpoint's: verify it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedLink {
    head: LinkHead,
    body: LinkBody,
    signature: [u8; 64],
}

/// A link's head and its signature: evidence for third parties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkEvidence {
    /// What was signed.
    pub head: LinkHead,
    signature: [u8; 64],
}

impl LinkHead {
    /// Whose link it is.
    pub fn of(&self) -> &Incarnated {
        &self.of
    }

    /// The link's number, from 1.
    pub fn k(&self) -> u64 {
        self.k
    }

    /// What the link before it was.
    pub fn previous(&self) -> LinkHash {
        self.previous
    }

    /// What it is.
    pub fn kind(&self) -> LinkKind {
        self.kind
    }

    /// Its place in the chain.
    pub fn mark(&self) -> LinkMark {
        let (k, kind) = self.numbers();
        LinkMark {
            k: self.k,
            hash: LinkHash(hash(LABEL, &self.fields(&k, &kind))),
        }
    }

    fn statement(&self) -> Vec<u8> {
        let (k, kind) = self.numbers();
        join(LABEL, &self.fields(&k, &kind))
    }

    fn numbers(&self) -> ([u8; 8], [u8; 1]) {
        (self.k.to_be_bytes(), [self.kind as u8])
    }

    fn fields<'a>(&'a self, k: &'a [u8; 8], kind: &'a [u8; 1]) -> [&'a [u8]; 6] {
        [
            &self.of.endpoint,
            &self.of.start.0,
            k,
            &self.previous.0,
            kind,
            &self.digest,
        ]
    }

    fn write(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.of.endpoint);
        out.extend_from_slice(&self.of.start.0);
        out.extend_from_slice(&self.k.to_be_bytes());
        out.extend_from_slice(&self.previous.0);
        out.push(self.kind as u8);
        out
    }

    /// Reads what [`LinkHead::write`] wrote; `digest` is read or made after it.
    fn read(reader: &mut Reader<'_>) -> Result<Self, IdentityError> {
        read::version(reader)?;
        let head = Self {
            of: Incarnated {
                endpoint: reader.array()?,
                start: StartHash(reader.array()?),
            },
            k: reader.u64()?,
            previous: LinkHash(reader.array()?),
            kind: LinkKind::from_u8(reader.u8()?)?,
            digest: [0; 32],
        };
        let first = head.previous == head.of.origin().hash;
        match head.k > 0 && first == (head.k == 1) {
            true => Ok(head),
            false => Err(IdentityError::Malformed),
        }
    }
}

impl SignedLink {
    /// The link after `last`, signed.
    pub(super) fn sign(
        of: Incarnated,
        last: LinkMark,
        body: LinkBody,
        key: &impl Sign,
    ) -> Result<Self, IdentityError> {
        let head = LinkHead {
            of,
            k: last.k.checked_add(1).ok_or(IdentityError::TooLarge)?,
            previous: last.hash,
            kind: body.kind(),
            digest: Sha256::digest(body.checked()?).into(),
        };
        let signature = key.signature(&head.statement());
        Ok(Self {
            head,
            body,
            signature,
        })
    }

    /// What is signed of it, which may be nobody's word.
    pub fn head(&self) -> &LinkHead {
        &self.head
    }

    /// What it says, which may be nobody's word.
    pub fn body(&self) -> &LinkBody {
        &self.body
    }

    /// Its place in the chain.
    pub fn mark(&self) -> LinkMark {
        self.head.mark()
    }

    /// Whether this key signed it.
    pub fn is_signed_by(&self, key: &VerifyingKey) -> bool {
        self.evidence().is_signed_by(key)
    }

    /// The link without its body.
    pub fn evidence(&self) -> LinkEvidence {
        LinkEvidence {
            head: self.head,
            signature: self.signature,
        }
    }

    /// The link's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let body = self.body.to_bytes();
        let mut out = self.head.write();
        // At most `MAX_BODY`, as signing and the parser check.
        out.extend_from_slice(&(body.len() as u32).to_be_bytes());
        out.extend_from_slice(&body);
        out.extend_from_slice(&self.signature);
        out
    }

    /// Reads what [`SignedLink::to_bytes`] wrote; the signature is not checked.
    ///
    /// # Errors
    /// [`IdentityError::Malformed`] or [`IdentityError::Version`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, IdentityError> {
        let mut reader = Reader::new(bytes);
        let head = LinkHead::read(&mut reader)?;
        let length = reader.u32()? as usize;
        if length > MAX_BODY {
            return Err(IdentityError::Malformed);
        }
        let written = reader.bytes(length)?;
        let body = LinkBody::from_bytes(head.kind, written)?;
        let digest = Sha256::digest(written).into();
        let signature = reader.array()?;
        reader.end()?;
        Ok(Self {
            head: LinkHead { digest, ..head },
            body,
            signature,
        })
    }
}

impl LinkEvidence {
    /// Whether this key signed it.
    pub fn is_signed_by(&self, key: &VerifyingKey) -> bool {
        verify(key, &self.head.statement(), &self.signature)
    }

    /// The head's bytes, the body's digest, the signature.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.head.write();
        out.extend_from_slice(&self.head.digest);
        out.extend_from_slice(&self.signature);
        out
    }

    /// Reads what [`LinkEvidence::to_bytes`] wrote; the signature is not checked.
    ///
    /// # Errors
    /// [`IdentityError::Malformed`] or [`IdentityError::Version`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, IdentityError> {
        if bytes.len() > EVIDENCE_LEN {
            return Err(IdentityError::Malformed);
        }
        let mut reader = Reader::new(bytes);
        let head = LinkHead::read(&mut reader)?;
        let head = LinkHead {
            digest: reader.array()?,
            ..head
        };
        let signature = reader.array()?;
        reader.end()?;
        Ok(Self { head, signature })
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;
    use crate::v2::identity::testing::bodies;

    fn link(body: LinkBody) -> SignedLink {
        let of = Incarnated {
            endpoint: [1; 16],
            start: StartHash([2; 32]),
        };
        SignedLink::sign(of, of.origin(), body, &SigningKey::from_bytes(&[3; 32])).unwrap()
    }

    #[test]
    fn every_byte_is_signed_and_read_as_it_is_written() {
        let key = SigningKey::from_bytes(&[3; 32]).verifying_key();
        for body in bodies() {
            let bytes = link(body).to_bytes();
            let read = SignedLink::from_bytes(&bytes).unwrap();
            assert_eq!(read.to_bytes(), bytes);
            assert!(read.is_signed_by(&key));
            let evidence = read.evidence().to_bytes();
            assert_eq!(evidence.len(), EVIDENCE_LEN);
            let proof = LinkEvidence::from_bytes(&evidence).unwrap();
            assert!(proof.is_signed_by(&key) && proof.head.mark() == read.mark());
            for at in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[at] ^= 1;
                let read = SignedLink::from_bytes(&changed);
                assert!(!read.is_ok_and(|read| read.is_signed_by(&key)), "byte {at}");
            }
        }
    }

    #[test]
    fn the_first_link_follows_the_start_and_no_other_does() {
        let bytes = link(LinkBody::Heartbeat(Vec::new())).to_bytes();
        let k = 1 + 16 + 32;
        for number in [0u64, 2] {
            let mut changed = bytes.clone();
            changed[k..k + 8].copy_from_slice(&number.to_be_bytes());
            assert_eq!(
                SignedLink::from_bytes(&changed),
                Err(IdentityError::Malformed)
            );
        }
    }
}
