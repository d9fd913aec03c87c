//! One accepted ticket: what it was, and the response that came of it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use armour_enclave::{binding::LaneId, ipc::Keyed};
use armour_protocol::ticket::SignedTicket;
use ed25519_dalek::VerifyingKey;

use super::response_log::ResponseLog;

/// An accepted ticket and what became of it.
pub struct Exchange {
    /// The ticket.
    pub ticket: SignedTicket,
    pub(super) keyed: Keyed,
    pub(super) lane: LaneId,
    pub(super) consumer_key: VerifyingKey,
    /// Whether its request has gone to the upstream, or was empty.
    pub(super) started: AtomicBool,
    /// Its response.
    pub log: Arc<ResponseLog>,
}

impl Exchange {
    /// An accepted ticket whose body is awaited.
    pub fn new(
        ticket: SignedTicket,
        keyed: Keyed,
        lane: LaneId,
        consumer_key: VerifyingKey,
    ) -> Arc<Self> {
        Arc::new(Self {
            ticket,
            keyed,
            lane,
            consumer_key,
            started: AtomicBool::new(false),
            log: Arc::default(),
        })
    }

    /// Whether its request has been handed on, so that no more body is needed.
    pub fn is_started(&self) -> bool {
        self.started.load(Ordering::Acquire)
    }
}
