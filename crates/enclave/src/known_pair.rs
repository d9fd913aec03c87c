//! What an enclave knows of a pair: the other party. The control plane names it anew with each
//! bundle, though no pair ever changes its parties.

/// The first byte of what is kept.
const FORM: u8 = 1;

/// A pair, and its party at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KnownPair {
    pub(crate) pair: [u8; 16],
    pub(crate) party: [u8; 16],
}

impl KnownPair {
    /// What is kept, so that it is known after the enclave's next start as well.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        [&[FORM], &self.pair[..], &self.party[..]].concat()
    }

    /// Reads what [`KnownPair::to_bytes`] wrote; none if it is something else.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let [FORM, rest @ ..] = bytes else {
            return None;
        };
        let (pair, party) = rest.split_first_chunk()?;
        Some(Self {
            pair: *pair,
            party: party.try_into().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_a_pair_is_read_again() {
        let known = KnownPair {
            pair: [1; 16],
            party: [2; 16],
        };
        let kept = known.to_bytes();
        assert_eq!(KnownPair::from_bytes(&kept), Some(known));
        let longer = [&kept[..], &[0]].concat();
        let other = [&[2], &kept[1..]].concat();
        for wrong in [&kept[1..], &kept[..32], &longer, &other, &[]] {
            assert_eq!(KnownPair::from_bytes(wrong), None);
        }
    }
}
