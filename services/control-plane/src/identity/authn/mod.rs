//! Who is calling: the platform's administrator, a tenant's person or API token,
//! or an endpoint that proves that it holds its key.

mod accepted;
mod access_token;
mod api_token;
mod authenticate;
mod callers;
pub mod cookie;
mod credential;
pub mod denial;
pub mod dpop;
mod endpoint;
mod key_owner;
pub mod known_endpoints;
mod living;
mod member;
pub mod nonce;
mod platform;
mod principal;
mod proof_consumer;
mod route;
mod session;
pub mod signed_calls;
pub mod signing;
mod state;
mod verified;

pub use accepted::Accepted;
pub use access_token::issue_access_token;
pub use credential::{bearer, invalid};
pub use endpoint::{EndpointAuth, EndpointToken, refuse};
pub use living::{NotLiving, collided, living_start, revoked, start_ended};
pub use member::Member;
pub use platform::Platform;
pub use principal::Principal;
pub use proof_consumer::ProofConsumer;
pub use route::Route;
pub use state::Authn;
