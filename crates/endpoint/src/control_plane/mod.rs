//! An endpoint's standing with the control plane.
//!
//! * [`session`]: all of it, for an endpoint's lifetime;
//! * [`enrolment`]: how it begins, once, in the [`expected_tenant`];
//! * [`start`]: how a process becomes the endpoint, [`ended`] why it is that no more, and
//!   [`coming_back`] what it does then;
//! * [`chain`]: what it tells the control plane, link by link;
//! * [`batch`]: what goes into one link together;
//! * [`draw`]: requests of bundles;
//! * [`grant`]: a bundle as it is granted, its [`installation`] in the enclave, and the
//!   acknowledgement;
//! * [`retirement`]: bundles that it gives up, and heads of lanes that are not its own;
//! * [`heartbeat`] and [`events`]: signs of life, either way, and the [`watcher`] that acts
//!   on them;
//! * [`lease`]: how long it serves without hearing from it;
//! * [`presence`]: the answer when another start asks;
//! * [`renewal`] of its keys;
//! * [`audit_log`]: what is remembered of the tenant's audit log, with how late it is by that,
//!   and [`peer_heads`] what a peer saw of it;
//! * [`reporter`]: tickets and receipts on their way to the ledger, and [`dead`] what it says of
//!   bundles;
//! * [`signer`]: what the enclave does for all this.

mod acknowledgement;
pub mod audit_log;
pub mod batch;
pub mod chain;
pub mod coming_back;
pub mod dead;
pub mod draw;
pub mod ended;
pub mod enrolment;
pub mod events;
pub mod expected_tenant;
pub mod grant;
pub mod heartbeat;
pub mod installation;
pub mod lease;
mod log_time;
pub mod peer_heads;
pub mod presence;
pub mod renewal;
pub mod reporter;
pub mod retirement;
pub mod session;
pub mod signer;
pub mod start;
pub mod watcher;

#[cfg(test)]
pub(crate) mod testing;
