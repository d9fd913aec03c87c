//! `armour party-keys show`: what a certificate says, and whether it reaches a pin.

use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use armour_ambient::Clock;
use armour_protocol::v2::identity::certificate::{Certificate, UnixTime};
use clap::Args;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    encoding::{base64, now, time, to_base64},
    endpoint::role_word,
    pins::Pins,
};
use crate::output::Output;

/// More than a certificate takes, in base64.
const MAX_LEN: u64 = 4_096;

/// Shows a certificate.
#[derive(Debug, Args)]
pub struct Show {
    /// The certificate's file, in base64; `-` reads standard input.
    certificate: PathBuf,
    /// A file of pins to check it against.
    #[arg(long, value_name = "FILE")]
    pins: Option<PathBuf>,
    /// The endpoint whose certificate it has to be.
    #[arg(long, requires = "pins")]
    endpoint: Option<Uuid>,
}

impl Show {
    pub(super) fn run(self, output: Output, clock: &Clock) -> anyhow::Result<()> {
        let certificate = read(&self.certificate)?;
        let pins = self.pins.as_deref();
        let pins = pins.map(|file| Pins::read(file, false)).transpose()?;
        let endpoint = self.endpoint.map(Uuid::into_bytes);
        let checked = pins.map(|pins| check(&certificate, &pins, endpoint, now(clock)));
        output.print(&said(&certificate, checked.as_ref()), &[])?;
        checked.transpose().map(drop)
    }
}

/// Reads a certificate's file.
///
/// # Errors
/// If it cannot be read or is none.
pub(super) fn read(file: &Path) -> anyhow::Result<Certificate> {
    let shown = file.display();
    let mut text = String::new();
    let read = match file == Path::new("-") {
        true => io::stdin().take(MAX_LEN).read_to_string(&mut text),
        false => {
            std::fs::File::open(file).and_then(|file| file.take(MAX_LEN).read_to_string(&mut text))
        }
    };
    read.with_context(|| format!("read {shown}"))?;
    let bytes = base64(&text).with_context(|| format!("{shown} is no certificate"))?;
    Certificate::from_bytes(&bytes).map_err(|why| anyhow!("{shown} is no certificate: {why}"))
}

/// Until when it holds.
fn check(
    certificate: &Certificate,
    pins: &Pins,
    endpoint: Option<[u8; 16]>,
    now: UnixTime,
) -> anyhow::Result<UnixTime> {
    let subject = certificate.subject();
    let pin = pins.of(subject.tenant, subject.party).with_context(|| {
        let party = Uuid::from_bytes(subject.party);
        format!("DOES NOT HOLD: no key is pinned for party {party}")
    })?;
    let endpoint = endpoint.unwrap_or(subject.endpoint);
    let certified = certificate.verify(pin, subject.role, &endpoint, now);
    let certified = certified.map_err(|why| anyhow!("DOES NOT HOLD: {why}"))?;
    Ok(certified.until)
}

fn said(certificate: &Certificate, checked: Option<&anyhow::Result<UnixTime>>) -> Value {
    let subject = certificate.subject();
    let certifier = certificate.certifier();
    json!({
        "tenant": Uuid::from_bytes(subject.tenant),
        "party": Uuid::from_bytes(subject.party),
        "role": role_word(subject.role),
        "endpoint": Uuid::from_bytes(subject.endpoint),
        "signing_key": to_base64(subject.signing_key),
        "kem_key": to_base64(subject.kem_key),
        "not_after": time(subject.not_after),
        "certifier_key": certifier.map(|one| to_base64(one.key())),
        "certifier_not_after": certifier.map(|one| time(one.not_after())),
        "holds": checked.map(Result::is_ok),
        "holds_until": checked.and_then(|one| one.as_ref().ok()).map(|until| time(*until)),
    })
}
