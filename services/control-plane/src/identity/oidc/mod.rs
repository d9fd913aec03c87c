//! OpenID providers that tenants trust: discovery, keys, and tokens checked with
//! them, people's and workloads'.

mod claims;
mod client;
pub mod flow;
mod groups;
mod keys;
pub mod login;
pub mod logout;
mod provider;
pub mod refusal;
mod state;
mod text;
pub mod workload;

pub use provider::{Providers, REMEMBERED};
pub use state::Oidc;
pub use text::printable;
