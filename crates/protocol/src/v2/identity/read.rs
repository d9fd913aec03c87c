//! What every layout here begins with or holds.

use ed25519_dalek::VerifyingKey;

use crate::v2::{VERSION, fields::Reader};

use super::error::IdentityError;

/// Reads the version.
pub(super) fn version(reader: &mut Reader<'_>) -> Result<(), IdentityError> {
    match reader.u8()? {
        VERSION => Ok(()),
        _ => Err(IdentityError::Version),
    }
}

/// Reads an Ed25519 key.
pub(super) fn key(reader: &mut Reader<'_>) -> Result<VerifyingKey, IdentityError> {
    public_key(&reader.array()?)
}

/// An Ed25519 key: a point, in the one way to write it, and of no small order.
///
/// # Errors
/// [`IdentityError::Malformed`].
pub fn public_key(bytes: &[u8; 32]) -> Result<VerifyingKey, IdentityError> {
    let key = VerifyingKey::from_bytes(bytes).map_err(|_| IdentityError::Malformed)?;
    let canonical = key.to_edwards().compress().to_bytes() == *bytes;
    match canonical && !key.is_weak() {
        true => Ok(key),
        false => Err(IdentityError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_one_form() {
        let read = |bytes: [u8; 32]| key(&mut Reader::new(&bytes));
        let good = ed25519_dalek::SigningKey::from_bytes(&[1; 32]).verifying_key();
        assert_eq!(read(good.to_bytes()), Ok(good));
        // The neutral point; p + 3, which is 3 written in another way; no point at all.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        assert_eq!(read(neutral), Err(IdentityError::Malformed));
        let mut over = [0xff; 32];
        (over[0], over[31]) = (0xf0, 0x7f);
        assert_eq!(read(over), Err(IdentityError::Malformed));
        let mut none = [0; 32];
        none[0] = 2;
        assert_eq!(read(none), Err(IdentityError::Malformed));
    }

    #[test]
    fn another_version_is_told_apart() {
        assert_eq!(version(&mut Reader::new(&[1])), Err(IdentityError::Version));
        assert_eq!(
            version(&mut Reader::new(&[])),
            Err(IdentityError::Malformed)
        );
    }
}
