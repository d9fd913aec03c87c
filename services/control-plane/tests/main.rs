//! The control plane against a real PostgreSQL. One program for all of it: a module that
//! is not named here is not tried.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by them"
)]

mod access;
mod answers;
mod api;
mod audit;
mod common;
mod database;
mod database_roles;
mod deleted_tenants;
mod endpoint_map;
mod evidence;
mod fairness;
mod fleets;
mod health;
mod isolation;
mod keys;
mod kill_switches;
mod ledger;
mod limits;
mod links;
mod log_keys;
mod outward;
mod pgbouncer;
mod quota_counts;
mod releases;
mod repeats;
mod restored;
mod retirements;
mod roles;
mod sign_in;
mod signed_calls;
mod starts;
mod streams;
mod sub_tickets;
mod watching;
mod webhooks;
