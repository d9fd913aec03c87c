//! Armour's control plane: REST API, ledger, console host.
//!
//! [`app::router`] builds the whole service over an [`app::App`]; replicas share
//! nothing but PostgreSQL.

// Layers, the lowest first: each imports only those before it, none of one row another.
//
//   database_options, config
//   platform                               what knows neither HTTP's routes nor domains
//   http                                   what all routes share
//   jobs                                   the scheduler
//   identity                               who is calling
//   audit, events, webhooks
//   ledger
//   pairing
//   tenancy, platform_admin
//   app                                    composes them; nobody imports it
pub mod app;
mod audit;
pub mod config;
pub mod database_options;
mod events;
mod http;
pub mod identity;
pub mod jobs;
mod ledger;
mod pairing;
pub mod platform;
mod platform_admin;
mod tenancy;
pub mod webhooks;

pub use pairing::lost_endpoints::look as find_lost_endpoints;
