//! Armour's endpoint as a library, in place of an agent beside the application.
//!
//! Root secrets still live in a process of their own, the enclave. It is this program,
//! started again, so [`enclave`] has to come first in `main`, before there are threads:
//!
//! ```no_run
//! fn main() -> anyhow::Result<()> {
//!     armour_endpoint::enclave();
//!     serve()
//! }
//!
//! #[tokio::main]
//! async fn serve() -> anyhow::Result<()> {
//!     let consumer = armour_endpoint::Settings::new("https://armour.example.com", "/var/lib/shop")
//!         .enrol_token_file("/run/secrets/enrolment")
//!         .consumer()
//!         .await?;
//!     let stock = consumer.client(None).await?;
//!     let answer = stock.get("/items?of=shoes").send().await?;
//!     println!("{}", answer.error_for_status()?.text().await?);
//!     consumer.drain().await;
//!     Ok(())
//! }
//! ```
//!
//! The other side is a [`tower::Layer`] around the service that is to be protected:
//!
//! ```no_run
//! # async fn serve() -> anyhow::Result<()> {
//! use axum::{Router, routing::get};
//! use tower::Layer;
//!
//! let api = Router::new().route("/items", get(async || "none left"));
//! let producer = armour_endpoint::Settings::new("https://armour.example.com", "/var/lib/stock")
//!     .enrol_token_file("/run/secrets/enrolment")
//!     .producer("https://stock.example.com")
//!     .await?;
//! let protected = Router::new().fallback_service(producer.layer().layer(api));
//! let listener = tokio::net::TcpListener::bind("0.0.0.0:7202").await?;
//! axum::serve(listener, protected).await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`Settings`], [`Consumer`], [`Client`], [`Producer`], [`ProducerLayer`] and [`enclave()`]
//! are what programs use, and with the feature `at-rest` the module `at_rest`, which seals what
//! an application stores. The modules beneath are what the agent's program is made of; they
//! change with it.

#![forbid(unsafe_code)]

pub mod access_log;
#[cfg(feature = "at-rest")]
pub mod at_rest;
pub mod background;
mod backoff;
mod client;
pub mod consumer;
pub mod control_plane;
mod entry;
pub mod floors;
mod foreign_checkpoint;
mod gauges;
mod layer;
pub mod listening;
mod metrics;
pub mod options;
mod other_release;
pub mod producer;
pub mod progress;
mod rekey_times;
mod settings;
mod start_enclave;
mod state;
#[cfg(test)]
mod testing;
pub mod wire;

pub use self::{
    client::{Client, Consumer, RequestBuilder, SendError},
    entry::enclave,
    layer::{Producer, ProducerLayer, Protected},
    settings::Settings,
    state::data_dir_lock::DataDirLock,
};
