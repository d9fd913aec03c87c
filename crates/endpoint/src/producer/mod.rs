//! The producer's agent: protected exchanges in, plain HTTP to the upstream.
//!
//! * [`open`]: starts it;
//! * [`endpoint`]: the producer itself;
//! * [`exchange_handler`]: what consumers' agents call;
//! * [`bundles`]: which bundles are held, and [`lane_table`] what is known of their lanes;
//! * [`exchange`]: one accepted ticket, [`serving`] what becomes of its [`call`];
//! * [`answers`]: what handlers have in common;
//! * [`rekeying`] of its streams, and [`rekey_handler`] which is called for it;
//! * [`clock`]: by which calls begin or never do;
//! * [`request`]: a request on its way to the API, and whose [`turn`] it is;
//! * [`answer`]: what the API says, on its way back;
//! * [`forwarding`]: what the API is given of a request's fields;
//! * [`upstream`] and [`connections`], with the [`streams`] of those for many: what serves
//!   the requests; [`replay`]: one that may be sent twice; [`handshake`]: of WebSocket;
//! * [`upstream_check`]: whether that serves, and [`leaving`] how the producer goes;
//! * [`shared_question`]: whether there are new bundles;
//! * [`response_log`]: a lane's last response;
//! * `clone`: the demonstration of a theft, where that is built.

mod answer;
mod answers;
mod bundles;
mod call;
mod clock;
#[cfg(feature = "clone-demo")]
pub mod clone;
mod connections;
pub mod draining;
pub mod endpoint;
mod exchange;
pub mod exchange_handler;
mod forwarding;
pub mod gone;
mod handshake;
mod lane_table;
mod leaving;
pub mod open;
pub mod plain;
mod rekey_handler;
mod rekey_rate;
mod rekeying;
mod replay;
mod request;
mod response_log;
mod serving;
mod shared_question;
mod streams;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod turn;
pub mod upstream;
pub mod upstream_check;
mod upstream_watch;
