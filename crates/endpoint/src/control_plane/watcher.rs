//! Who acts on what comes from the control plane.

use std::{future::Future, time::Duration};

use armour_api::{BundleStatus, Event};
use uuid::Uuid;

use super::dead::Dead;

/// What a role does with what comes from the control plane.
pub trait Watcher: Send + Sync + 'static {
    /// The bundles that the enclave knows, each time that a heartbeat is about to name them.
    fn bundles(&self) -> Vec<Uuid>;
    /// How often to send a sign of life.
    fn heartbeat_interval(&self) -> Duration;
    /// How long it may serve without hearing from the control plane: the shortest of its pairs'
    /// leases.
    fn lease(&self) -> Duration;
    /// A bundle's state as the control plane has it, by its answer to the heartbeat that
    /// named it.
    fn status(&self, status: BundleStatus) -> impl Future<Output = ()> + Send;
    /// The number of what the control plane has assigned to this endpoint, by its answer to a
    /// heartbeat.
    fn assignments(&self, _number: u64) {}
    /// A bundle is of no more use, by the ledger's verdict on a report.
    fn dead(&self, dead: Dead) -> impl Future<Output = ()> + Send;
    /// Something happened.
    fn event(&self, event: Event) -> impl Future<Output = ()> + Send;
}
