//! The consumer's agent: plain HTTP in, protected exchanges out.
//!
//! * [`open`]: starts it;
//! * [`pair_manager`]: the pairs that are served;
//! * [`pair`]: one of them, and [`events`] what it does with events;
//! * [`bundle_lifecycle`]: draws bundles and gives them up, and [`keeper`] keeps lanes fresh;
//! * [`ingress`]: the application's HTTP;
//! * [`lanes`]: a lane for a request;
//! * [`exchange`]: one exchange, [`in_flight`] until it is answered, [`transport`] of its
//!   messages, and [`delivery`] of what came back;
//! * [`rekeying`]: of its streams;
//! * [`fate`]: what is known of a call that has no answer;
//! * [`settings`]: how pairs are served;
//! * [`bundle`]: a bundle's lanes.

mod bundle;
mod bundle_lifecycle;
#[cfg(feature = "clone-demo")]
pub mod clone;
mod delivery;
mod events;
mod exchange;
mod fate;
mod in_flight;
pub mod ingress;
mod keeper;
mod lanes;
pub mod open;
pub mod pair;
pub mod pair_manager;
mod rekeying;
pub mod settings;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod transport;
mod upgrade;
