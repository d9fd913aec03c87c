//! An endpoint's standing with the control plane.
//!
//! * [`session`]: enrolment, heartbeats, events and the lease;
//! * [`grant`]: a bundle as it is granted;
//! * [`audit_log`]: what is remembered of the tenant's audit log;
//! * [`reporter`]: tickets on their way to the ledger.

pub mod audit_log;
pub mod grant;
pub mod reporter;
pub mod session;
