//! What an agent takes at least, whatever policy the control plane sets for its pairs.

use std::time::Duration;

use armour_api::{Policy, Reporting};

/// The least that bundles must have; by default anything will do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Floors {
    /// The cipher suites that are taken; any if there are none here.
    pub suites: Vec<u8>,
    /// Whether the ledger must have each ticket before its call begins.
    pub strict_reporting: bool,
    /// The longest time without contact to the control plane in which calls go on.
    pub max_lease: Option<Duration>,
    /// The longest time in which a call may begin.
    pub max_begin_within: Option<Duration>,
}

impl Floors {
    /// Looks whether a bundle of this suite, under this policy, has what is asked for.
    ///
    /// # Errors
    /// A sentence that says what it lacks.
    pub fn check(&self, suite: u8, policy: &Policy) -> Result<(), String> {
        if !self.suites.is_empty() && !self.suites.contains(&suite) {
            return Err(format!(
                "its suite is {suite}, and this agent takes {:?} alone",
                self.suites
            ));
        }
        if self.strict_reporting && policy.reporting != Reporting::Strict {
            return Err("its reporting is batched, and this agent takes strict alone".into());
        }
        within("lease_ms", policy.lease_ms, self.max_lease)?;
        within(
            "begin_within_ms",
            policy.begin_within_ms,
            self.max_begin_within,
        )
    }
}

fn within(name: &str, value: u32, most: Option<Duration>) -> Result<(), String> {
    match most.map(|most| most.as_millis()) {
        Some(most) if u128::from(value) > most => Err(format!(
            "its {name} is {value}, and this agent takes {most} at most"
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_below_what_the_agent_takes_is_refused() {
        let policy = Policy::default();
        assert_eq!(Floors::default().check(1, &policy), Ok(()));
        let exactly = Floors {
            suites: vec![1, 3],
            strict_reporting: false,
            max_lease: Some(Duration::from_millis(policy.lease_ms.into())),
            max_begin_within: Some(Duration::from_millis(policy.begin_within_ms.into())),
        };
        assert_eq!(exactly.check(3, &policy), Ok(()));
        let strict = Policy {
            reporting: Reporting::Strict,
            ..policy.clone()
        };
        let only_strict = Floors {
            strict_reporting: true,
            ..exactly.clone()
        };
        assert_eq!(only_strict.check(1, &strict), Ok(()));
        let refused = [
            (only_strict.check(1, &policy), "reporting"),
            (exactly.check(2, &policy), "suite"),
            (
                exactly.check(
                    1,
                    &Policy {
                        lease_ms: policy.lease_ms + 1,
                        ..policy.clone()
                    },
                ),
                "lease_ms",
            ),
            (
                exactly.check(
                    1,
                    &Policy {
                        begin_within_ms: policy.begin_within_ms + 1,
                        ..policy.clone()
                    },
                ),
                "begin_within_ms",
            ),
        ];
        for (refused, why) in refused {
            assert!(refused.unwrap_err().contains(why));
        }
    }
}
