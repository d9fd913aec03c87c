//! What happened, as it happens.

use chrono::{DateTime, Utc};
use uuid::Uuid;

wire! {
    /// Something that happened, in the order of `seq` within the tenant.
    pub struct Event {
        pub seq: i64,
        /// For example `bundle.disconnected`.
        pub kind: String,
        pub pair_id: Option<Uuid>,
        pub bundle_id: Option<Uuid>,
        pub endpoint_id: Option<Uuid>,
        pub detail: serde_json::Value,
        pub created_at: DateTime<Utc>,
    }
}

impl Event {
    /// Its kind, if this version knows it: a later one may have more.
    pub fn known_kind(&self) -> Option<EventKind> {
        self.kind.parse().ok()
    }
}

/// What kinds of events there are.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantNames,
)]
#[strum(const_into_str)]
pub enum EventKind {
    /// Consumers' endpoints may have to hold other bundles.
    #[strum(serialize = "assignments.changed")]
    AssignmentsChanged,
    /// A bundle is of no use any more, on either side.
    #[strum(serialize = "bundle.disconnected")]
    BundleDisconnected,
    /// In one of a bundle's streams a checkpoint was found that an end's key signed and not that
    /// end.
    #[strum(serialize = "bundle.foreign-checkpoint")]
    BundleForeignCheckpoint,
    /// A bundle was issued.
    #[strum(serialize = "bundle.minted")]
    BundleMinted,
    /// A bundle's consumer or producer gave it up.
    #[strum(serialize = "bundle.retired")]
    BundleRetired,
    /// A bundle was followed by another.
    #[strum(serialize = "bundle.superseded")]
    BundleSuperseded,
    /// A consumer's tickets are not seen by the producer.
    #[strum(serialize = "bundle.unwitnessed")]
    BundleUnwitnessed,
    /// Somebody else holds an endpoint's state.
    #[strum(serialize = "collision.detected")]
    CollisionDetected,
    /// Two endpoints of producers claim one address, and both are heard of: neither is believed.
    #[strum(serialize = "endpoint.address-shared")]
    EndpointAddressShared,
    /// An endpoint that was lost is heard of again.
    #[strum(serialize = "endpoint.back")]
    EndpointBack,
    /// Somebody else holds an endpoint's keys; it is to be enrolled anew.
    #[strum(serialize = "endpoint.collided")]
    EndpointCollided,
    /// Another endpoint claims an endpoint's address.
    #[strum(serialize = "endpoint.displaced")]
    EndpointDisplaced,
    /// A stranger was at the door of an endpoint's enclave.
    #[strum(serialize = "endpoint.enclave-intruder")]
    EndpointEnclaveIntruder,
    /// An agent became an endpoint.
    #[strum(serialize = "endpoint.enrolled")]
    EndpointEnrolled,
    /// Two starts of an endpoint both live; people have to choose.
    #[strum(serialize = "endpoint.in-use")]
    EndpointInUse,
    /// An endpoint has fallen silent.
    #[strum(serialize = "endpoint.lost")]
    EndpointLost,
    /// A start asks whether the one before it still lives.
    #[strum(serialize = "endpoint.presence-asked")]
    EndpointPresenceAsked,
    /// An endpoint is admitted no more.
    #[strum(serialize = "endpoint.revoked")]
    EndpointRevoked,
    /// An endpoint has started: what was of its earlier start has ended.
    #[strum(serialize = "endpoint.started")]
    EndpointStarted,
    /// So many endpoints are silent at once that none of them is taken for lost.
    #[strum(serialize = "endpoints.silent")]
    EndpointsSilent,
    /// The database was restored to an earlier state, and what was before has ended.
    #[strum(serialize = "ledger.fenced")]
    LedgerFenced,
    /// A consumer and a producer were paired.
    #[strum(serialize = "pair.created")]
    PairCreated,
    /// A pair may not exchange any more.
    #[strum(serialize = "pair.disconnected")]
    PairDisconnected,
    /// A pair that was disconnected may exchange again.
    #[strum(serialize = "pair.re-armed")]
    PairReArmed,
    /// A pair has another policy.
    #[strum(serialize = "pair.updated")]
    PairUpdated,
    /// A receiver of webhooks is told nothing any more.
    #[strum(serialize = "webhook.disabled")]
    WebhookDisabled,
}

impl EventKind {
    /// Their words on the wire.
    pub const WORDS: &'static [&'static str] = <Self as strum::VariantNames>::VARIANTS;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_on_the_wire_are_as_ever() {
        let words = [
            "assignments.changed",
            "bundle.disconnected",
            "bundle.foreign-checkpoint",
            "bundle.minted",
            "bundle.retired",
            "bundle.superseded",
            "bundle.unwitnessed",
            "collision.detected",
            "endpoint.address-shared",
            "endpoint.back",
            "endpoint.collided",
            "endpoint.displaced",
            "endpoint.enclave-intruder",
            "endpoint.enrolled",
            "endpoint.in-use",
            "endpoint.lost",
            "endpoint.presence-asked",
            "endpoint.revoked",
            "endpoint.started",
            "endpoints.silent",
            "ledger.fenced",
            "pair.created",
            "pair.disconnected",
            "pair.re-armed",
            "pair.updated",
            "webhook.disabled",
        ];
        assert_eq!(EventKind::WORDS, words);
        for word in words {
            let kind: EventKind = word.parse().unwrap();
            assert_eq!(kind.into_str(), word);
        }
    }
}
