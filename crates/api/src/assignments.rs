//! Which producers' endpoints a consumer's endpoint is to hold bundles with.

use uuid::Uuid;

wire! {
    /// The bundles that a consumer's endpoint holds, and how many it should.
    #[derive(Eq)]
    pub struct Assignments {
        /// What heartbeats are answered with in `assignments`, of when these were looked up.
        pub version: u64,
        /// In the order of the pairs' ids.
        pub pairs: Vec<PairAssignment>,
    }

    /// A consumer endpoint's bundles of a pair.
    #[derive(Eq)]
    pub struct PairAssignment {
        pub pair_id: Uuid,
        /// How many bundles with serving producers' endpoints it should hold, each with another
        /// one: between 2 and 32, unless fewer serve.
        pub wanted: u32,
        /// Its active bundles, in the order of their ids.
        pub bundles: Vec<AssignedBundle>,
    }

    /// An active bundle of a consumer's endpoint.
    #[derive(Eq)]
    pub struct AssignedBundle {
        pub bundle_id: Uuid,
        pub producer_endpoint_id: Uuid,
        /// What its producer's endpoint is for callers.
        pub phase: ProducerPhase,
        /// The producer's endpoint has more bundles than its share, and one that the caller
        /// holds no bundle with has fewer: the bundle is to be replaced now.
        pub rebalance: bool,
    }

    /// What a producer's endpoint is for a consumer that holds a bundle with it.
    #[derive(Copy, Eq, strum::EnumString, strum::IntoStaticStr)]
    #[serde(rename_all = "kebab-case")]
    #[strum(serialize_all = "kebab-case", const_into_str)]
    pub enum ProducerPhase {
        /// It may be called.
        Serving,
        /// Its upstream does not answer.
        NotServing,
        /// It is about to leave.
        Draining,
        /// It has left, was not heard of for too long, or may not act any more.
        Gone,
    }
}
