//! How many requests callers may make, how large and how slow.
//!
//! Two limits: one of each replica's own that holds off floods before anything is
//! looked up, and a tenant's rate, which all replicas keep to together. For the
//! latter a replica leases a few requests at a time from PostgreSQL.

mod body;
mod burst;
mod forwarded;
mod keyed;
mod rates;
mod slot;
mod source;

pub use body::{Bodies, body};
pub use burst::{BurstLimiter, Callers, rate};
pub use keyed::KeyedLimit;
pub use rates::{Class, Rates, consume, consume_leased, refuse_spent};
pub use source::{ClientHeader, Source, TrustedProxies, client, client_address};
