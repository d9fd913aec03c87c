//! The one chain of links to the control plane. One link is in flight, and is sent again
//! byte for byte until it is answered; what else is to be said waits meanwhile.
//!
//! * [`client`]: for those who have something to say;
//! * [`request`]: what they say, and what came of it;
//! * [`sender`]: signs each link, sends it, and acts on its answer.

mod client;
mod request;
mod sender;
#[cfg(test)]
mod tests;

pub use client::ChainClient;
pub use request::{Answered, LinkError};
pub use sender::Chain;
