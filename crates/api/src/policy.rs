//! A pair's policy.

wire! {
    /// What a pair's endpoints must keep to.
    #[derive(Eq)]
    #[serde(deny_unknown_fields, default)]
    pub struct Policy {
        /// Cipher suite: 1 or 2.
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
        /// How long reports on a superseded bundle are still accepted.
        pub supersede_grace_ms: u32,
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
            max_lanes: 16,
            supersede_grace_ms: 10_000,
        }
    }
}

impl Policy {
    /// Says which field is out of range, if any.
    ///
    /// # Errors
    /// A sentence that names the field and its range.
    pub fn check(&self) -> Result<(), String> {
        let ranges = [
            ("suite", u32::from(self.suite), 1, 2),
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
            ("max_lanes", self.max_lanes, 1, 1024),
            (
                "supersede_grace_ms",
                self.supersede_grace_ms,
                100,
                3_600_000,
            ),
        ];
        for (field, value, min, max) in ranges {
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
