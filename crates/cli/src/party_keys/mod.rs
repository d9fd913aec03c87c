//! `armour party-keys`: keys by which a party itself vouches for its endpoints, so that the
//! other side need not believe the control plane (docs/party-keys.md).
//!
//! All but [`signer`], and [`certify`] where it is asked to, work without a control plane: a
//! party's key belongs on a machine that none reaches.

mod certifier;
mod certify;
mod create;
mod encoding;
mod endpoint;
mod endpoint_keys;
mod issuer;
mod key_file;
mod pins;
mod show;
mod signer;
mod upload;
mod validity;

use std::path::Path;

use armour_ambient::Ambient;
use clap::Subcommand;

use crate::access::Access;

/// `armour party-keys`.
#[derive(Debug, Subcommand)]
pub enum PartyKeys {
    /// Make a key in a new file, and show its public half.
    Create(create::Create),
    /// Show the public half of a key.
    Public(create::Public),
    /// Let another key certify a party's endpoints for a short time.
    Certifier(certifier::CertifyKey),
    /// Certify an endpoint's keys with the party's key, or with a certifier's.
    Certify(Box<certify::Certify>),
    /// Certify a party's endpoints as they enrol, with a certifier's key.
    Sign(signer::Sign),
    /// Write the pin of a party's key, which the other side's agents are given.
    Pin(pins::PinKey),
    /// Show what a certificate says, and check it against pins.
    Show(show::Show),
}

impl PartyKeys {
    /// Does what was asked for.
    ///
    /// # Errors
    /// If it cannot be done, or if what is checked does not hold.
    pub async fn run(self, data: &Path, access: &Access, ambient: &Ambient) -> anyhow::Result<()> {
        let output = access.output()?;
        match self {
            Self::Create(create) => create.run(output, &ambient.random),
            Self::Public(public) => public.run(output),
            Self::Certifier(certify) => certify.run(output, &ambient.clock),
            Self::Certify(certify) => certify.run(data, access, &ambient.clock).await,
            Self::Sign(sign) => sign.run(data, access, &ambient.clock).await,
            Self::Pin(pin) => pin.run(output),
            Self::Show(show) => show.run(output, &ambient.clock),
        }
    }
}
