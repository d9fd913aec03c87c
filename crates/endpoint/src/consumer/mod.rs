//! The consumer's agent: plain HTTP in, protected exchanges out.
//!
//! * [`open`]: starts it;
//! * [`pair_manager`]: the pairs that are served, and [`assignments`] what the control plane
//!   wants of them;
//! * [`pair`]: one of them, and [`events`] what it does with events;
//! * [`slots`]: how many bundles it has, each drawn by a [`slot`] ([`drawing`]) and given up at
//!   its end ([`giving_up`]), those first that are of least use ([`release`]); [`keeper`] keeps
//!   lanes fresh;
//! * [`serving`]: the bundles in use, and which one a call takes ([`choice`]): by how their
//!   producers stand ([`standing`], [`latency`]), which are left out while they fail
//!   ([`ejection`], [`probing`]);
//! * [`ingress`]: the application's HTTP, whose calls are made anew within a [`retry_budget`];
//!   [`refusal_log`] of those that are not answered;
//! * [`lanes`]: a lane for a request;
//! * [`exchange`]: one exchange, [`in_flight`] until it is answered, [`elsewhere`] if that is not
//!   to be waited for, [`transport`] of its messages, and [`delivery`] of what came back;
//! * [`caller`]: whom an answer is for;
//! * [`rekeying`]: of its streams;
//! * [`fate`]: what is known of a call that has no answer;
//! * [`settings`]: how pairs are served;
//! * [`bundle`]: a bundle's lanes.

mod again;
mod assigned;
mod assignments;
mod bundle;
mod caller;
mod choice;
mod choosing;
#[cfg(feature = "clone-demo")]
pub mod clone;
mod delivery;
mod drawing;
mod ejection;
mod elsewhere;
mod events;
mod exchange;
pub(crate) mod fate;
mod giving_up;
mod in_flight;
pub mod ingress;
mod keeper;
mod lanes;
mod latency;
mod lifecycle;
pub mod open;
pub mod pair;
pub mod pair_manager;
mod probing;
mod refusal_log;
mod rekeying;
mod release;
mod retry_budget;
mod serving;
pub mod settings;
mod slot;
mod slots;
mod standing;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod transport;
pub(crate) mod trouble;
pub(crate) mod upgrade;
