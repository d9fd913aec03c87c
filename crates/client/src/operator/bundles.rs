//! Bundles: all tickets under one minted secret.

use armour_api::{Bundle, LaneHead, Obedience, Page, Reason, RecordedSubTicket, RecordedTicket};
use uuid::Uuid;

use super::because;
use crate::{Call, Client};

impl Client {
    /// Bundles, latest first; of one pair or of all.
    pub fn bundles(&self, pair: Option<Uuid>) -> Call<'_, Page<Bundle>> {
        match pair {
            Some(pair) => self.read(format!("/v1/bundles?pair_id={pair}")),
            None => self.read("/v1/bundles"),
        }
    }

    /// A bundle.
    pub fn bundle(&self, id: Uuid) -> Call<'_, Bundle> {
        self.read(format!("/v1/bundles/{id}"))
    }

    /// The ledger's lane heads.
    pub fn lanes(&self, bundle: Uuid) -> Call<'_, Vec<LaneHead>> {
        self.read(format!("/v1/bundles/{bundle}/lanes"))
    }

    /// A lane's tickets, latest first.
    pub fn tickets(&self, bundle: Uuid, lane: u32) -> Call<'_, Page<RecordedTicket>> {
        self.read(format!("/v1/bundles/{bundle}/tickets?lane={lane}"))
    }

    /// The sub-tickets by which the streams of exchange `n` re-keyed, latest first.
    pub fn sub_tickets(
        &self,
        bundle: Uuid,
        lane: u32,
        n: u64,
    ) -> Call<'_, Page<RecordedSubTicket>> {
        self.read(format!(
            "/v1/bundles/{bundle}/sub-tickets?lane={lane}&n={n}"
        ))
    }

    /// When endpoints acknowledged a bundle's disconnect.
    pub fn disconnect_acknowledgements(&self, bundle: Uuid) -> Call<'_, Vec<Obedience>> {
        self.read(format!("/v1/bundles/{bundle}/obediences"))
    }

    /// Disconnects a bundle.
    pub fn disconnect_bundle(&self, id: Uuid, reason: &str) -> Call<'_, Bundle, Reason> {
        self.act(format!("/v1/bundles/{id}/disconnect"), because(reason))
    }
}
