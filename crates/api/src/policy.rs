//! A pair's policy.

use sha2::{Digest, Sha256};

wire! {
    /// What a pair's endpoints must keep to.
    // Both ends are bound to it as it stands, and neither ignores what it does not know of it: a
    // field that comes later is left out of its JSON for as long as it is at its default, so that
    // agents of the release before go on.
    #[derive(Eq)]
    #[serde(deny_unknown_fields, default)]
    pub struct Policy {
        /// Cipher suite: 1, 2 or 3.
        pub suite: u8,
        pub reporting: Reporting,
        pub report_interval_ms: u32,
        /// Idle lanes send an empty exchange this often.
        pub empty_exchange_interval_ms: u32,
        pub heartbeat_interval_ms: u32,
        /// Endpoints without contact for this long refuse traffic.
        pub lease_ms: u32,
        /// Most lanes of a bundle.
        pub max_lanes: u32,
        /// How long a bundle that has a successor still serves what is under way.
        pub supersede_grace_ms: u32,
        /// A call begins at the producer within this time of its being sent, or never.
        pub begin_within_ms: u32,
        /// A bundle is renewed before this time is over.
        pub bundle_lifetime_ms: u32,
        /// People are told if a consumer's tickets are not reported by the producer, too,
        /// for this long.
        pub witness_within_ms: u32,
        /// A stream is re-keyed this long after the last time; with 0 none is.
        pub rekey_interval_ms: u32,
        /// And once it has carried so many bytes in a direction.
        pub rekey_bytes: u32,
        /// How the length of content is hidden.
        pub padding: PaddingPolicy,
        /// Which calls may be made a second time when no answer came.
        pub retry: RetryPolicy,
    }

    /// How the length of content is hidden.
    #[derive(Copy, Eq)]
    #[serde(rename_all = "lowercase")]
    pub enum PaddingPolicy {
        /// Not at all.
        None,
        /// In PADMÉ's buckets: at most 12 % more.
        Padme,
    }

    /// Which calls may be made a second time when no answer came.
    #[derive(Copy, Eq)]
    #[serde(rename_all = "lowercase")]
    pub enum RetryPolicy {
        /// Those with safe methods.
        Safe,
        /// PUT and DELETE, too, once the first surely cannot begin any more.
        Idempotent,
    }

    /// When tickets are reported.
    #[derive(Copy, Eq)]
    #[serde(rename_all = "lowercase")]
    pub enum Reporting {
        /// Before the exchange is accepted.
        Strict,
        /// Within `report_interval_ms`.
        Batched,
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            suite: 1,
            reporting: Reporting::Batched,
            report_interval_ms: 200,
            empty_exchange_interval_ms: 30_000,
            heartbeat_interval_ms: 5_000,
            lease_ms: 60_000,
            max_lanes: 1_024,
            supersede_grace_ms: 10_000,
            begin_within_ms: 2_000,
            bundle_lifetime_ms: 3_600_000,
            witness_within_ms: 60_000,
            rekey_interval_ms: 30_000,
            rekey_bytes: 67_108_864,
            padding: PaddingPolicy::None,
            retry: RetryPolicy::Safe,
        }
    }
}

impl Policy {
    /// SHA-256 of the policy's canonical JSON (RFC 8785): what a bundle's context holds.
    ///
    /// # Errors
    /// If it cannot be written as JSON.
    pub fn hash(&self) -> Result<[u8; 32], serde_json::Error> {
        let canonical = serde_json_canonicalizer::to_vec(self)?;
        Ok(Sha256::digest(canonical).into())
    }

    /// Says which field is out of range, if any.
    ///
    /// # Errors
    /// A sentence that names the field and its range.
    pub fn check(&self) -> Result<(), String> {
        let ranges = [
            ("suite", u32::from(self.suite), 1, 3),
            ("report_interval_ms", self.report_interval_ms, 10, 60_000),
            (
                "empty_exchange_interval_ms",
                self.empty_exchange_interval_ms,
                100,
                3_600_000,
            ),
            (
                "heartbeat_interval_ms",
                self.heartbeat_interval_ms,
                100,
                600_000,
            ),
            ("lease_ms", self.lease_ms, 1_000, 86_400_000),
            ("max_lanes", self.max_lanes, 1, 8_192),
            (
                "supersede_grace_ms",
                self.supersede_grace_ms,
                100,
                3_600_000,
            ),
            ("begin_within_ms", self.begin_within_ms, 50, 60_000),
            (
                "bundle_lifetime_ms",
                self.bundle_lifetime_ms,
                10_000,
                86_400_000,
            ),
            (
                "witness_within_ms",
                self.witness_within_ms,
                1_000,
                86_400_000,
            ),
            (
                "rekey_interval_ms",
                self.rekey_interval_ms,
                1_000,
                3_600_000,
            ),
            ("rekey_bytes", self.rekey_bytes, 65_536, 1_073_741_824),
        ];
        for (field, value, min, max) in ranges {
            // Streams need not be re-keyed.
            if field == "rekey_interval_ms" && value == 0 {
                continue;
            }
            if !(min..=max).contains(&value) {
                return Err(format!(
                    "policy.{field} must be from {min} to {max}, not {value}"
                ));
            }
        }
        if self.lease_ms <= self.heartbeat_interval_ms {
            return Err("policy.lease_ms must exceed policy.heartbeat_interval_ms".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_hashed_over_its_canonical_json() {
        let policy = Policy::default();
        // Members in order, no white space.
        let text = concat!(
            r#"{"begin_within_ms":2000,"bundle_lifetime_ms":3600000,"#,
            r#""empty_exchange_interval_ms":30000,"heartbeat_interval_ms":5000,"#,
            r#""lease_ms":60000,"max_lanes":1024,"padding":"none","rekey_bytes":67108864,"#,
            r#""rekey_interval_ms":30000,"report_interval_ms":200,"#,
            r#""reporting":"batched","retry":"safe","suite":1,"supersede_grace_ms":10000,"#,
            r#""witness_within_ms":60000}"#
        );
        let expected: [u8; 32] = Sha256::digest(text).into();
        assert_eq!(policy.hash().unwrap(), expected);
        let other = Policy { suite: 3, ..policy };
        assert_ne!(other.hash().unwrap(), expected);
    }

    #[test]
    fn streams_are_re_keyed_in_bounds_or_not_at_all() {
        let policy = |interval, bytes| Policy {
            rekey_interval_ms: interval,
            rekey_bytes: bytes,
            ..Policy::default()
        };
        assert_eq!(policy(1_000, 65_536).check(), Ok(()));
        assert_eq!(policy(0, 65_536).check(), Ok(()));
        assert_eq!(policy(3_600_000, 1_073_741_824).check(), Ok(()));
        for (policy, field) in [
            (policy(999, 65_536), "policy.rekey_interval_ms"),
            (policy(3_600_001, 65_536), "policy.rekey_interval_ms"),
            (policy(1_000, 65_535), "policy.rekey_bytes"),
            (policy(1_000, 1_073_741_825), "policy.rekey_bytes"),
        ] {
            assert!(policy.check().unwrap_err().contains(field));
        }
    }
}
