//! What goes between agents, applications and upstreams.
//!
//! * [`message`]: a head, then sealed segments;
//! * [`bhttp`]: requests and responses as content of messages;
//! * [`problem`] and [`problem_type`]: an endpoint's own refusals;
//! * [`http_client`]: HTTP to the next hop.

pub mod bhttp;
pub mod http_client;
pub mod message;
pub mod problem;
pub mod problem_type;
