//! Typed client of Armour's REST API.

mod call;
mod client;
mod credentials;
mod endpoint;
mod error;
mod operator;
mod transport;

pub use armour_dpop as dpop;
pub use call::Call;
pub use client::Client;
pub use error::{ClientError, Result};
pub use operator::{AuditExport, AuditFilter};
