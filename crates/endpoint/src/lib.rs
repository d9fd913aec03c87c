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

#![forbid(unsafe_code)]

mod consumer;
mod producer;

use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::ensure;
use armour_agent::options::Common;

pub use self::{
    consumer::{Client, Consumer, RequestBuilder, SendError},
    producer::{Producer, ProducerLayer, Protected},
};

static CALLED: AtomicBool = AtomicBool::new(false);

/// Becomes the enclave if this process was started as one, and never returns then. Call it
/// first in `main`: what holds root secrets has no other threads.
pub fn enclave() {
    CALLED.store(true, Ordering::Relaxed);
    let arguments: Vec<_> = std::env::args_os().collect();
    let [_, word, flag, file] = &arguments[..] else {
        return;
    };
    if word != "enclave" || flag != "--key-file" {
        return;
    }
    let ended = armour_enclave::process::run(file.as_ref());
    if let Err(error) = &ended {
        eprintln!("enclave: {error:#}");
    }
    std::process::exit(i32::from(ended.is_err()));
}

/// Who an endpoint is, and whom it belongs to.
#[derive(Debug, Clone)]
pub struct Settings {
    common: Common,
}

impl Settings {
    /// An endpoint of the control plane at this address, which keeps its keys and its
    /// identity in this folder. One process at a time may use a folder.
    pub fn new(control_plane: impl Into<String>, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            common: Common::new(control_plane.into(), data_dir.into()),
        }
    }

    /// File of a one-use enrolment token; needed at the first start only.
    #[must_use]
    pub fn enrol_token_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.common.enrol_token_file = Some(file.into());
        self
    }

    /// The endpoint's name.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.common.name = name.into();
        self
    }

    /// The key of the tenant's audit log, 32 bytes in base64; without it the one that the
    /// control plane tells first is taken and kept.
    #[must_use]
    pub fn log_key(mut self, key: impl Into<String>) -> Self {
        self.common.log_key = Some(key.into());
        self
    }

    /// PEM file of certificates that are trusted besides the system's authorities.
    #[must_use]
    pub fn tls_ca_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.common.tls_ca_file = Some(file.into());
        self
    }

    /// Runs this `armour-agent` as the enclave in place of this program.
    #[must_use]
    pub fn enclave_program(mut self, program: impl Into<PathBuf>) -> Self {
        self.common.enclave_program = Some(program.into());
        self
    }

    /// All that an agent may be told.
    pub fn common(&mut self) -> &mut Common {
        &mut self.common
    }

    /// Starts as a consumer: enrols if need be, then keeps in touch with the control plane.
    ///
    /// # Errors
    /// If it cannot enrol, its folder cannot be used, or there is no enclave.
    pub async fn consumer(self) -> anyhow::Result<Consumer> {
        self.check()?;
        Consumer::open(&self.common).await
    }

    /// Starts as a producer that consumers reach at this address.
    ///
    /// # Errors
    /// As [`Settings::consumer`].
    pub async fn producer(self, address: impl Into<String>) -> anyhow::Result<Producer> {
        self.check()?;
        Producer::open(&self.common, address.into()).await
    }

    fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.common.enclave_program.is_some() || CALLED.load(Ordering::Relaxed),
            "call armour_endpoint::enclave() first in main, or name an enclave_program"
        );
        Ok(())
    }
}
