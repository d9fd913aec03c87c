//! For how long something holds: `90m`, `24h`, `30d`.

use std::{fmt, str::FromStr};

use anyhow::{Context as _, bail};
use armour_protocol::v2::identity::certificate::UnixTime;

/// Longer than this nothing is certified: there is no revocation but the end.
const MAX: u64 = 400 * 24 * 3_600;

/// For how long something holds, in seconds; at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity(pub(super) u64);

impl Validity {
    /// The last second, from now on.
    pub(super) fn from(self, now: UnixTime) -> UnixTime {
        UnixTime(now.0.saturating_add(self.0))
    }
}

impl FromStr for Validity {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let example = "give a number and s, m, h or d, for example 24h";
        let unit = match text.chars().last().context(example)? {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 24 * 3_600,
            _ => bail!(example),
        };
        let number: u64 = text[..text.len() - 1].parse().ok().context(example)?;
        match number.checked_mul(unit) {
            Some(seconds @ 1..=MAX) => Ok(Self(seconds)),
            _ => bail!("it is 1 s to 400 d"),
        }
    }
}

impl fmt::Display for Validity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(24 * 3_600, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')];
        let unit = units
            .into_iter()
            .find(|(unit, _)| self.0.is_multiple_of(*unit));
        let (unit, letter) = unit.unwrap_or((1, 's'));
        write!(f, "{}{letter}", self.0 / unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_validity_is_a_number_and_a_unit() {
        for (text, seconds) in [("1s", 1), ("90m", 5_400), ("24h", 86_400), ("400d", MAX)] {
            assert_eq!(text.parse::<Validity>().unwrap(), Validity(seconds));
        }
        assert_eq!(Validity(86_400).to_string(), "1d");
        assert_eq!(Validity(5_400).to_string(), "90m");
        let huge = format!("{}d", u64::MAX);
        for wrong in ["", "d", "1", "0s", "401d", "-1h", "1.5h", "1w", "1é", &huge] {
            assert!(wrong.parse::<Validity>().is_err(), "{wrong}");
        }
    }
}
