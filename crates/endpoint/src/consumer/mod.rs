//! The consumer's agent: plain HTTP in, protected exchanges out.
//!
//! * [`open`]: starts it;
//! * [`pair_manager`]: the pairs that are served;
//! * [`pair`]: one of them, and [`events`] what it does with events;
//! * [`bundle_lifecycle`]: requests bundles and keeps lanes fresh;
//! * [`ingress`]: the application's HTTP;
//! * [`lanes`]: a lane for a request;
//! * [`exchange`]: one exchange, and [`delivery`] of what came back;
//! * [`ledger_check`]: whether the ledger's heads are our own work;
//! * [`settings`]: how pairs are served;
//! * [`bundle`]: a bundle's lanes.

mod bundle;
mod bundle_lifecycle;
#[cfg(feature = "clone-demo")]
pub mod clone;
mod delivery;
mod events;
mod exchange;
pub mod ingress;
mod lanes;
mod ledger_check;
pub mod open;
pub mod pair;
pub mod pair_manager;
pub mod settings;
