//! `armour party-keys sign`: a certifier's key at work. It certifies a party's endpoints as
//! they enrol, and again before their certificates end.
//!
//! Which keys are whose it learns from endpoints' hosts ([`EndpointKeys`]), or from the control
//! plane if it is told to believe it. Both files of the certifier are read at each look, so that
//! they can be replaced while it runs.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use armour_ambient::Clock;
use armour_api::{Endpoint, EndpointState, EventKind};
use armour_client::{Client, ClientError};
use armour_protocol::v2::identity::{
    IdentityError,
    certificate::{Certificate, Pin, Subject, UnixTime},
};
use clap::Args;
use futures::StreamExt;
use serde_json::json;
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use super::{
    certify, encoding, encoding::time, endpoint::enrolled, endpoint_keys::EndpointKeys,
    issuer::Issuer, key_file, show, upload::Uploads, validity::Validity,
};
use crate::terminal::{complain, print_line};
use crate::{
    access::{Access, As},
    output::Output,
};

/// Between the end of the stream of events and the next one.
const RECONNECT_AFTER: Duration = Duration::from_secs(1);

/// Certifies a party's endpoints as they enrol. An auditor's API token is enough, an operator's
/// with --upload.
#[derive(Debug, Args)]
pub struct Sign {
    /// File of the certifier's key.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// What the party signed for it (`party-keys certifier`); names the party, too.
    #[arg(long, value_name = "FILE")]
    certifier: PathBuf,
    /// Folder of the certificates, each in the file `<endpoint>.cert`.
    #[arg(long, default_value = "certificates", value_name = "FOLDER")]
    folder: PathBuf,
    /// Folder of files `{"signing_key":base64,"kem_key":base64}` that came from endpoints'
    /// hosts, and not by way of the control plane. Only these keys are certified.
    #[arg(
        long,
        value_name = "FOLDER",
        required_unless_present = "trust_control_plane",
        conflicts_with = "trust_control_plane"
    )]
    endpoint_keys: Option<PathBuf>,
    /// Certify whatever keys the control plane says. Whoever controls it while this runs can
    /// then have an endpoint of its own certified.
    #[arg(long)]
    trust_control_plane: bool,
    /// For how long a certificate holds; until its certifier's end at most. It is renewed when
    /// a third is left.
    #[arg(long, default_value_t = Validity(24 * 3_600))]
    valid_for: Validity,
    /// Give each certificate to the control plane as well, which hands it to the endpoint's
    /// peers; needs an operator's API token.
    #[arg(long)]
    upload: bool,
    /// Go on: certify endpoints as they enrol, and renew certificates.
    #[arg(long)]
    watch: bool,
    /// With --watch: seconds after which it looks even if no endpoint has enrolled.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    interval: u64,
}

/// What is to be done about an endpoint.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    /// Certify it, for the first time or again.
    Certify,
    /// Nothing: its certificate holds for long enough.
    Nothing,
    /// Nothing: other keys were certified for it, and an endpoint never changes its keys.
    OtherKeys,
}

/// A signer at work.
struct Signer {
    options: Sign,
    client: Client,
    output: Output,
    clock: Clock,
    /// What was complained of at the last look, which is not said again.
    complaints: HashSet<String>,
    uploads: Uploads,
}

impl Sign {
    pub(super) async fn run(
        self,
        data: &Path,
        access: &Access,
        clock: &Clock,
    ) -> anyhow::Result<()> {
        key_file::warn_if_open(&self.key);
        // What cannot work is said at once, and not at each look.
        Issuer::read(&self.key, Some(&self.certifier))?;
        std::fs::create_dir_all(&self.folder)
            .with_context(|| format!("create {}", self.folder.display()))?;
        let mut signer = Signer {
            client: access.client(data, As::Operator)?,
            output: access.output()?,
            clock: clock.clone(),
            complaints: HashSet::new(),
            uploads: Uploads::default(),
            options: self,
        };
        match signer.options.watch {
            true => signer.watch().await,
            false => match signer.look().await? {
                0 => Ok(()),
                left => bail!("{left} endpoints are not certified"),
            },
        }
    }
}

impl Signer {
    async fn watch(&mut self) -> anyhow::Result<()> {
        let mut ticks = tokio::time::interval(Duration::from_secs(self.options.interval));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Before the look, so that nobody enrols between the two unseen.
            match self.client.events("/v1/events", None).await {
                Ok(events) => {
                    futures::pin_mut!(events);
                    loop {
                        let enrolled = tokio::select! {
                            _ = ticks.tick() => true,
                            event = events.next() => match event {
                                Some(event) => {
                                    event.known_kind() == Some(EventKind::EndpointEnrolled)
                                }
                                None => break,
                            },
                        };
                        if enrolled {
                            self.look_or_say().await?;
                        }
                    }
                    tokio::time::sleep(RECONNECT_AFTER).await;
                }
                Err(error) if error.is_passing() => {
                    complain!("armour: no events: {error}");
                    ticks.tick().await;
                    self.look_or_say().await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Looks, and says what went wrong: of all that can, only refused credentials stay wrong
    /// until somebody starts it anew.
    async fn look_or_say(&mut self) -> anyhow::Result<()> {
        let Err(error) = self.look().await else {
            return Ok(());
        };
        match error.downcast_ref::<ClientError>() {
            Some(refused) if !refused.is_passing() => Err(error),
            _ => {
                complain!("armour: {error:#}");
                Ok(())
            }
        }
    }

    /// Certifies what is due; how many endpoints are left without.
    async fn look(&mut self) -> anyhow::Result<usize> {
        let issuer = Issuer::read(&self.options.key, Some(&self.options.certifier))?;
        let now = encoding::now(&self.clock);
        let (pin, end) = issuer.certified(now)?;
        let mut complaints = Vec::new();
        if end.0.saturating_sub(now.0) < self.options.valid_for.0 / 3 {
            complaints.push(format!(
                "the certifier ends at {}, and so do its certificates",
                time(end)
            ));
        }
        let keys = match &self.options.endpoint_keys {
            Some(folder) => Some(EndpointKeys::read(folder)?),
            None => None,
        };
        for (file, why) in keys.iter().flat_map(|keys| &keys.unread) {
            complaints.push(format!("{}: no endpoint's keys: {why:#}", file.display()));
        }
        let mut left = 0;
        for endpoint in self.client.endpoints().every().await? {
            let of = (
                endpoint.tenant_id.into_bytes(),
                endpoint.party_id.into_bytes(),
            );
            if of != (pin.tenant, pin.party) || endpoint.state != EndpointState::Active {
                continue;
            }
            let certified = self.certify(&endpoint, &issuer, &pin, end, keys.as_ref());
            let done = match certified {
                Ok(certificate) if self.options.upload => {
                    let (uploads, client) = (&mut self.uploads, &self.client);
                    uploads.give(client, endpoint.id, &certificate).await
                }
                certified => certified.map(drop),
            };
            if let Err(why) = done {
                left += 1;
                complaints.push(format!("endpoint {}: {why:#}", endpoint.id));
            }
        }
        self.complain(complaints);
        Ok(left)
    }

    /// Certifies an endpoint if it is due; the certificate that holds.
    fn certify(
        &self,
        endpoint: &Endpoint,
        issuer: &Issuer,
        pin: &Pin,
        end: UnixTime,
        keys: Option<&EndpointKeys>,
    ) -> anyhow::Result<Certificate> {
        let now = encoding::now(&self.clock);
        let until = self.options.valid_for.from(now).min(end);
        let subject = enrolled(endpoint, until)?;
        if keys.is_some_and(|keys| !keys.has(&subject)) {
            bail!(
                "no host says that its keys are its own: signing key {}, KEM key {}",
                endpoint.signing_key,
                endpoint.kem_key
            );
        }
        let file = self.options.folder.join(format!("{}.cert", endpoint.id));
        let existing = match file.exists() {
            true => show::read(&file).ok(),
            false => None,
        };
        let renew_within = self.options.valid_for.0 / 3;
        match due(existing.as_ref(), &subject, pin, now, renew_within) {
            Due::Nothing => return existing.context("there is no certificate"),
            Due::Certify => {}
            Due::OtherKeys => bail!(
                "the control plane says other keys than were certified; an endpoint never changes \
                 them. Find out why; remove {} if it is right",
                file.display()
            ),
        }
        let certificate = issuer.certify(subject, now)?;
        certify::write(&file, &certificate)?;
        self.say(endpoint.id, &file, certificate.subject().not_after)?;
        Ok(certificate)
    }

    /// Says what was certified. It goes on, whether anybody reads that or not.
    fn say(&self, endpoint: Uuid, file: &Path, until: UnixTime) -> anyhow::Result<()> {
        let until = time(until);
        match self.output {
            Output::Json => {
                let said = json!({ "endpoint": endpoint, "file": file, "not_after": until });
                let _ = print_line!("{}", serde_json::to_string(&said)?);
            }
            Output::Table => {
                let _ = print_line!("certified  {endpoint}  until {until}");
            }
        }
        Ok(())
    }

    fn complain(&mut self, complaints: Vec<String>) {
        for complaint in &complaints {
            if !self.complaints.contains(complaint) {
                complain!("armour: {complaint}");
            }
        }
        self.complaints = complaints.into_iter().collect();
    }
}

/// What is to be done about an endpoint, by the certificate that there is.
fn due(
    existing: Option<&Certificate>,
    subject: &Subject,
    pin: &Pin,
    now: UnixTime,
    renew_within: u64,
) -> Due {
    let Some(existing) = existing else {
        return Due::Certify;
    };
    let (was, ends) = (existing.subject(), existing.certifier());
    let until = ends.map_or(was.not_after, |one| one.not_after().min(was.not_after));
    match existing.verify(pin, was.role, &subject.endpoint, now) {
        Ok(_) | Err(IdentityError::Expired) => {}
        // By an earlier key of the party, or no certificate of ours at all.
        Err(_) => return Due::Certify,
    }
    let keys = |one: &Subject| (one.signing_key, one.kem_key, one.role);
    if keys(was) != keys(subject) {
        return Due::OtherKeys;
    }
    let is_late = until.0.saturating_sub(now.0) < renew_within;
    // A certifier that ends soon has nothing longer to give.
    match is_late && subject.not_after > until {
        true => Due::Certify,
        false => Due::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use armour_protocol::v2::identity::certificate::{Certifier, Role};
    use ed25519_dalek::SigningKey;

    use super::*;

    const NOW: UnixTime = UnixTime(1_000_000);

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn pin(seed: u8) -> Pin {
        Pin {
            tenant: [1; 16],
            party: [2; 16],
            key: key(seed).verifying_key(),
        }
    }

    fn subject(until: u64) -> Subject {
        Subject {
            tenant: [1; 16],
            party: [2; 16],
            role: Role::Producer,
            endpoint: [3; 16],
            signing_key: key(3).verifying_key(),
            kem_key: [4; 32],
            not_after: UnixTime(NOW.0 + until),
        }
    }

    fn certificate(until: u64) -> Certificate {
        Certificate::certify(subject(until), None, &key(1))
    }

    fn due_at(existing: &Certificate, wanted: &Subject) -> Due {
        due(Some(existing), wanted, &pin(1), NOW, 30)
    }

    #[test]
    fn a_certificate_is_renewed_before_it_ends() {
        assert_eq!(due(None, &subject(90), &pin(1), NOW, 30), Due::Certify);
        assert_eq!(due_at(&certificate(30), &subject(90)), Due::Nothing);
        assert_eq!(due_at(&certificate(29), &subject(90)), Due::Certify);
        let ended = certificate(0);
        let later = UnixTime(NOW.0 + 1_000);
        let wanted = subject(2_000);
        assert_eq!(due(Some(&ended), &wanted, &pin(1), later, 30), Due::Certify);
    }

    /// Else each look would write what is there already.
    #[test]
    fn a_certifier_that_ends_soon_renews_nothing() {
        assert_eq!(due_at(&certificate(20), &subject(20)), Due::Nothing);
        assert_eq!(due_at(&certificate(20), &subject(21)), Due::Certify);
    }

    /// Its own end is not the certificate's, if the certifier's comes first.
    #[test]
    fn the_earlier_end_counts() {
        let certifier_key = key(9).verifying_key();
        let end = UnixTime(NOW.0 + 20);
        let certifier = Certifier::certify(&pin(1), certifier_key, end, &key(1));
        let through = Certificate::certify(subject(1_000), Some(certifier), &key(9));
        assert_eq!(due_at(&through, &subject(90)), Due::Certify);
    }

    #[test]
    fn an_endpoint_with_other_keys_is_not_certified_again() {
        let other = Subject {
            kem_key: [5; 32],
            ..subject(90)
        };
        assert_eq!(due_at(&certificate(50), &other), Due::OtherKeys);
        assert_eq!(due_at(&certificate(10), &other), Due::OtherKeys);
        let ended = due(
            Some(&certificate(0)),
            &other,
            &pin(1),
            UnixTime(NOW.0 + 9),
            3,
        );
        assert_eq!(ended, Due::OtherKeys);
    }

    #[test]
    fn what_the_partys_key_did_not_sign_is_replaced() {
        let under_another = due(Some(&certificate(50)), &subject(90), &pin(7), NOW, 30);
        assert_eq!(under_another, Due::Certify);
        let elsewhere = Subject {
            endpoint: [8; 16],
            ..subject(50)
        };
        let elsewhere = Certificate::certify(elsewhere, None, &key(1));
        assert_eq!(due_at(&elsewhere, &subject(90)), Due::Certify);
    }
}
