//! Pairs: one consumer and one producer.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::Policy;

wire! {
    /// One consumer and one producer.
    pub struct Pair {
        pub id: Uuid,
        pub consumer_id: Uuid,
        pub producer_id: Uuid,
        pub consumer_name: String,
        pub producer_name: String,
        pub state: PairState,
        pub policy: Policy,
        pub created_at: DateTime<Utc>,
        /// Grows with each change; the number in its `ETag`.
        pub revision: i32,
    }

    /// Whether a pair may exchange.
    #[derive(Copy, Eq, strum::EnumString, strum::IntoStaticStr)]
    #[serde(rename_all = "lowercase")]
    #[strum(serialize_all = "lowercase", const_into_str)]
    pub enum PairState { Active, Disconnected }

    /// In which order pairs are listed.
    #[derive(Copy, Eq, strum::EnumString, strum::IntoStaticStr)]
    #[serde(rename_all = "kebab-case")]
    #[strum(serialize_all = "kebab-case", const_into_str)]
    pub enum PairSort { Newest, Oldest, Consumer, ConsumerDescending, Producer, ProducerDescending }

    /// A new pair.
    #[serde(deny_unknown_fields)]
    pub struct NewPair {
        pub consumer_id: Uuid,
        pub producer_id: Uuid,
        #[serde(default)]
        pub policy: Policy,
    }
}
