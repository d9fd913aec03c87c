//! Places in a chain of links.

use crate::v2::fields::Reader;

use super::{
    error::IdentityError,
    start::{Start, StartHash},
};

/// H of a link's statement. In the place of a link before the first: that of the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LinkHash(pub [u8; 32]);

/// How far a chain came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LinkMark {
    /// The last link's number, 0 before the first.
    pub k: u64,
    /// Of the last link.
    pub hash: LinkHash,
}

/// Whose chain it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Incarnated {
    /// The endpoint.
    pub endpoint: [u8; 16],
    /// Its start.
    pub start: StartHash,
}

impl Incarnated {
    /// Whose chain follows this start.
    pub fn by(start: &Start) -> Self {
        Self {
            endpoint: *start.endpoint(),
            start: start.hash(),
        }
    }

    /// How far the chain came before its first link.
    pub fn origin(&self) -> LinkMark {
        LinkMark {
            k: 0,
            hash: LinkHash(self.start.0),
        }
    }
}

impl LinkMark {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, IdentityError> {
        Ok(Self {
            k: reader.u64()?,
            hash: LinkHash(reader.array()?),
        })
    }
}
