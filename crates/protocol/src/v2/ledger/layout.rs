//! What the bytes of all runs have in common.

use crate::v2::{error::HeadError, fields::Reader, proof::Proof};

/// Most rests of a run that is read from bytes.
pub(super) const MAX_RESTS: usize = 1 << 20;

/// Appends length(2) and proof; 0 if there is none.
pub(super) fn write_proof(out: &mut Vec<u8>, proof: Option<&Proof>) {
    let bytes = proof.map(Proof::to_bytes).unwrap_or_default();
    // A proof has less than 300 bytes.
    out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    out.extend_from_slice(&bytes);
}

/// Reads what [`write_proof`] wrote.
///
/// # Errors
/// [`HeadError::Malformed`].
pub(super) fn read_proof(reader: &mut Reader<'_>) -> Result<Option<Proof>, HeadError> {
    match reader.u16()? {
        0 => Ok(None),
        length => Proof::from_bytes(reader.bytes(length.into())?).map(Some),
    }
}
