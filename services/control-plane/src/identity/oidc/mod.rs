//! OpenID providers that tenants trust: discovery, keys, and tokens checked with
//! them, people's and workloads'.

mod client;
pub mod flow;
pub mod login;
pub mod logout;
mod provider;
mod state;
mod text;
pub mod workload;

pub use provider::Providers;
pub use state::Oidc;
pub use text::printable;
