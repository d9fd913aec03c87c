//! Why a producer's endpoint is left out by a consumer.

use strum::{EnumIter, IntoStaticStr};

/// Why an endpoint is left out: the label `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumIter, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Trouble {
    /// Nothing listens at its address.
    Refused,
    /// It does not answer a probe.
    Silent,
    /// What comes back is nobody's word, again and again.
    Lost,
    /// It says, signed, that it has too much to do.
    Busy,
}

impl Trouble {
    /// Whether a probe that is answered shows that it is over.
    pub fn is_seen_by_probes(self) -> bool {
        matches!(self, Self::Refused | Self::Silent)
    }
}
