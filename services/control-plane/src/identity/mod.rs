//! Who is calling, what they may do, and who vouches for them.

pub mod authn;
pub mod authz;
pub mod oidc;
mod routes;
pub mod token;

pub use routes::routes;
