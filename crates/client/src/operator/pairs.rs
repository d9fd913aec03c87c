//! Pairs: one consumer and one producer.

use armour_api::{NewPair, Page, Pair, PairTraffic, Reason};
use serde_json::{Value, json};
use uuid::Uuid;

use super::because;
use crate::{Call, Client};

impl Client {
    /// Pairs a consumer with a producer.
    pub fn create_pair(&self, new: &NewPair) -> Call<'_, Pair, NewPair> {
        self.act("/v1/pairs", new.clone())
    }

    /// The same with a policy of somebody else's JSON, which the control plane reads: it
    /// may know more fields than this client.
    pub fn create_pair_with_policy(
        &self,
        consumer: Uuid,
        producer: Uuid,
        policy: Value,
    ) -> Call<'_, Pair, Value> {
        let new = json!({ "consumer_id": consumer, "producer_id": producer, "policy": policy });
        self.act("/v1/pairs", new)
    }

    /// Pairs.
    pub fn pairs(&self) -> Call<'_, Page<Pair>> {
        self.read("/v1/pairs")
    }

    /// A pair.
    pub fn pair(&self, id: Uuid) -> Call<'_, Pair> {
        self.read(format!("/v1/pairs/{id}"))
    }

    /// What goes through a pair, and between whom.
    pub fn pair_traffic(&self, id: Uuid) -> Call<'_, PairTraffic> {
        self.read(format!("/v1/pairs/{id}/traffic"))
    }

    /// Replaces a pair's policy; JSON as for [`Client::create_pair_with_policy`].
    pub fn replace_policy(&self, pair: Uuid, policy: Value) -> Call<'_, Pair, Value> {
        self.replace(format!("/v1/pairs/{pair}/policy"), policy)
    }

    /// Disconnects a pair and all of its bundles.
    pub fn disconnect_pair(&self, id: Uuid, reason: &str) -> Call<'_, Pair, Reason> {
        self.act(format!("/v1/pairs/{id}/disconnect"), because(reason))
    }

    /// Re-arms a pair.
    pub fn re_arm(&self, pair: Uuid, reason: &str) -> Call<'_, Pair, Reason> {
        self.act(format!("/v1/pairs/{pair}/re-arm"), because(reason))
    }
}
