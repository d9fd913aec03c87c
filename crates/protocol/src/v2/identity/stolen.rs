//! Copies of an incarnation, for the demonstration of a theft.

use std::sync::Arc;

use ed25519_dalek::SigningKey;
use zeroize::Zeroizing;

use crate::{crypto::Signer, v2::fields::Reader};

use super::{
    body::NewKeys,
    chain::{Chain, InFlight},
    error::IdentityError,
    incarnation::{Incarnation, Keys},
    link::SignedLink,
    mark::{Incarnated, LinkMark},
    start::SignedStart,
};

impl Incarnation {
    /// The incarnation with all its keys: what a thief takes.
    pub fn steal(&self) -> Zeroizing<Vec<u8>> {
        let start = self.start.to_bytes();
        // The current keys come last: reading ends with them.
        let keys: Vec<&Keys> = self.old.iter().chain([&self.current]).collect();
        let renewals: Vec<Vec<u8>> = self.renewals.iter().map(SignedLink::to_bytes).collect();
        let renewed: usize = renewals.iter().map(|link| 4 + link.len()).sum();
        // At its full size from the start: one that grows leaves copies behind.
        let length = 4 + start.len() + 4 + 96 * keys.len() + 4 + renewed;
        let mut out = Zeroizing::new(Vec::with_capacity(length));
        put(&mut out, &start);
        out.extend_from_slice(&(keys.len() as u32).to_be_bytes());
        for keys in keys {
            out.extend_from_slice(&*keys.seed);
            out.extend_from_slice(&*keys.hpke);
            out.extend_from_slice(&keys.public.hpke_key);
        }
        out.extend_from_slice(&(renewals.len() as u32).to_be_bytes());
        renewals.iter().for_each(|link| put(&mut out, link));
        out
    }

    /// A second incarnation from a stolen one.
    ///
    /// # Errors
    /// [`IdentityError::Malformed`] or [`IdentityError::Version`].
    pub fn from_stolen(stolen: &[u8]) -> Result<Self, IdentityError> {
        let mut reader = Reader::new(stolen);
        let start = SignedStart::from_bytes(take(&mut reader)?)?;
        let count = reader.u32()?;
        let mut keys = (0..count)
            .map(|_| Keys::read(&mut reader))
            .collect::<Result<Vec<Keys>, IdentityError>>()?;
        let current = keys.pop().ok_or(IdentityError::Malformed)?;
        let count = reader.u32()?;
        let renewals = (0..count)
            .map(|_| SignedLink::from_bytes(take(&mut reader)?))
            .collect::<Result<_, IdentityError>>()?;
        reader.end()?;
        Ok(Self {
            start,
            current,
            old: keys,
            renewals,
        })
    }
}

impl Keys {
    fn read(reader: &mut Reader<'_>) -> Result<Self, IdentityError> {
        let seed = reader.secret()?;
        let signing = Box::new(SigningKey::from_bytes(&seed));
        let hpke = reader.secret()?;
        Ok(Self {
            public: NewKeys {
                key: signing.verifying_key(),
                hpke_key: reader.array()?,
            },
            signer: Arc::new(Signer::new(&signing)),
            hpke,
            seed,
        })
    }
}

impl Chain {
    /// How far the chain came.
    pub fn last(&self) -> LinkMark {
        self.last
    }

    /// A second chain beside a stolen incarnation's.
    pub fn from_stolen(of: &Incarnation, last: LinkMark) -> Self {
        Self {
            of: Incarnated::by(of.start.unverified()),
            last,
        }
    }
}

impl InFlight {
    /// How far the chain came before this link.
    pub fn last(&self) -> LinkMark {
        self.chain.last
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    // Starts and renewals are far shorter than 4 GiB.
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn take<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], IdentityError> {
    let length = reader.u32()?;
    Ok(reader.bytes(length as usize)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v2::identity::{body::LinkBody, chain::Answered, testing::Endpoint};

    #[test]
    fn a_thief_signs_as_its_victim_does() {
        let Endpoint {
            mut incarnation,
            chain,
            mut rng,
            ..
        } = Endpoint::started(3);
        let renewal = chain.renew(&incarnation, &mut rng);
        let renewal = renewal.unwrap_or_else(|_| panic!("it can be signed"));
        let mark = renewal.link().mark();
        let Answered::Taken(chain) = renewal.answered(&mark, &mut incarnation) else {
            panic!("it is answered");
        };
        let thief = Incarnation::from_stolen(&incarnation.steal()).unwrap();
        assert_eq!(thief.start(), incarnation.start());
        assert_eq!(thief.renewals(), incarnation.renewals());
        assert_eq!(thief.keys(), incarnation.keys());
        let first = *incarnation.start().unverified().key();
        assert_eq!(thief.hpke_secret(&first), incarnation.hpke_secret(&first));
        let theirs = Chain::from_stolen(&thief, chain.last());
        let beat = || LinkBody::Heartbeat(Vec::new());
        let (Ok(own), Ok(other)) = (
            chain.link(beat(), &incarnation),
            theirs.link(beat(), &thief),
        ) else {
            panic!("both can sign");
        };
        assert_eq!(own.link(), other.link());
        let stolen = incarnation.steal();
        assert!(Incarnation::from_stolen(&stolen[1..]).is_err());
    }
}
