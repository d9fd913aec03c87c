//! How a process becomes the endpoint: its start is made in the enclave, kept in the
//! folder, and announced, the same bytes each time, until it is accepted.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use armour_api::{AnnounceStart, ProblemType, StartAccepted};
use armour_client::{Client, ClientError};
use armour_enclave::EnclaveError;
use base64::{Engine, engine::general_purpose::STANDARD};
use thiserror::Error;

use super::{ended::Ended, enrolment::Identity, signer::Signer};
use crate::{
    backoff::Backoff, other_release, progress::Progress, state::start_record::StartRecordFile,
};

/// How long to wait before the next try while another start lives.
const IN_USE_WAIT: Duration = Duration::from_secs(5);

/// Why a start was not accepted, and never will be.
#[derive(Debug, Error)]
pub enum StartError {
    /// This process is not the endpoint, and will not be.
    #[error("{0}")]
    Ended(Ended),
    /// The control plane refuses the announcement.
    #[error("the control plane refuses this start: {0}")]
    Refused(ClientError),
}

/// Makes this process the endpoint; for as long as it takes. What comes back was announced.
///
/// # Errors
/// If the record cannot be kept, or the start is refused for good: the process ends.
pub async fn start(
    client: &Client,
    signer: &dyn Signer,
    record: &StartRecordFile,
    (identity, address): (Identity, Option<String>),
    progress: &Progress,
) -> anyhow::Result<AnnounceStart> {
    let last = record.read().context("read the record of starts")?;
    let begun = signer.begin_start(identity.id.into_bytes(), last).await;
    // Were it not kept, the next start would not go back to this one, and would be taken
    // for somebody else's.
    let kept = begun.map_err(|error| match &error {
        EnclaveError::Refused(code) if code == "too-large" => {
            anyhow!("256 starts in a row were not accepted: enrol anew, in an empty folder")
        }
        EnclaveError::Refused(_) => anyhow!(error).context(
            "begin a start: the data folder's record of starts cannot be read, or is another \
             endpoint's; enrol anew, in an empty folder",
        ),
        EnclaveError::Gone => anyhow!(error).context("begin a start"),
    })?;
    record.keep(&kept).context("keep the record of starts")?;
    let announcement = AnnounceStart {
        tenant_id: identity.tenant,
        start: STANDARD.encode(other_release::start(signer.start_kept().await?)),
        address,
        host: host(),
        process: Some(std::process::id()),
    };
    let accepted = announce(client, &announcement, progress).await?;
    tracing::info!(endpoint = %identity.id, start = accepted.counter, "this start is accepted");
    let answered = signer.start_accepted().await?;
    if let Err(error) = record.keep(&answered) {
        // The next start only names more than it must.
        tracing::warn!(%error, "cannot keep that the start was answered");
    }
    Ok(announcement)
}

/// Announces a start until it is accepted, or never will be.
///
/// # Errors
/// [`StartError`].
pub async fn announce(
    client: &Client,
    announcement: &AnnounceStart,
    progress: &Progress,
) -> Result<StartAccepted, StartError> {
    let mut backoff = Backoff::default();
    loop {
        let error = match client.announce_start(announcement).await {
            Ok(accepted) => return Ok(accepted),
            Err(error) => error,
        };
        if let Some(ended) = Ended::of(&error) {
            tracing::error!(%error, "this start is not accepted");
            return Err(StartError::Ended(ended));
        }
        if error.is(ProblemType::Unauthenticated.name()) {
            // It is its keys alone that an announcement is believed by.
            tracing::error!(%error, "this start is nobody's");
            return Err(StartError::Ended(Ended::Unknown));
        }
        if error.is(ProblemType::IdentityInUse.name()) {
            tracing::error!(%error, "ANOTHER PROCESS IS THIS ENDPOINT and lives: end one of the \
                two, or choose with `armour endpoints choose-start <id> --keep older|newer`; \
                waiting");
            progress.waits_for(format!("another process that is this endpoint: {error}"));
            tokio::time::sleep(IN_USE_WAIT).await;
        } else if error.is_passing() {
            tracing::warn!(%error, "the start is not announced yet");
            progress.waits_for(format!("the control plane: {error}"));
            backoff.wait().await;
        } else {
            return Err(StartError::Refused(error));
        }
    }
}

/// This machine's name, for people who have to choose between two starts.
fn host() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    let name = name.ok().or_else(|| std::env::var("HOSTNAME").ok())?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use armour_protocol::v2::identity::{start::SignedStart, starting::StartRecord};
    use chrono::DateTime;
    use tokio::time::Instant;

    use super::*;
    use crate::control_plane::testing::{Answer, ControlPlane, OWN, TestEnclave, long_term};

    fn accepted(counter: u64) -> Answer {
        Answer::json(&StartAccepted {
            endpoint_id: OWN.id,
            counter,
            server_time: DateTime::UNIX_EPOCH,
        })
    }

    async fn run(
        control_plane: &ControlPlane,
        record: &StartRecordFile,
    ) -> anyhow::Result<AnnounceStart> {
        let enclave = TestEnclave::new();
        let progress = Progress::default();
        let client = &control_plane.client;
        start(client, &*enclave, record, (OWN, None), &progress).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_whose_answer_is_lost_is_the_same_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let control_plane = ControlPlane::start(move |before, _| {
            // It is kept before anybody hears of it.
            let kept = StartRecordFile::of(&path).read().unwrap().unwrap();
            StartRecord::from_bytes(&kept).unwrap();
            match before {
                0 | 1 => Answer::Lost,
                _ => accepted(1),
            }
        })
        .await;
        let record = StartRecordFile::of(folder.path());
        let announcement = run(&control_plane, &record).await.unwrap();
        let asked = control_plane.asked();
        assert_eq!(asked.len(), 3);
        assert!(asked.iter().all(|one| one.body == asked[0].body));
        assert_eq!(asked[0].read::<AnnounceStart>(), announcement);
        // The next process's start goes back to this one.
        run(&control_plane, &record).await.unwrap();
        let read = |at: usize| {
            let sent: AnnounceStart = control_plane.asked()[at].read();
            SignedStart::from_bytes(&STANDARD.decode(sent.start).unwrap()).unwrap()
        };
        let (first, second) = (read(0), read(3));
        let own = (OWN.id.into_bytes(), long_term().verifying_key());
        let second = second.verify(&own.0, &own.1).unwrap();
        assert_eq!(second.counter(), 2);
        assert_eq!(second.ancestor(1), Some(first.unverified().hash()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_waits_for_as_long_as_another_one_lives() {
        let control_plane = ControlPlane::start(|before, _| match before {
            0..500 => Answer::Problem("identity-in-use", 409),
            _ => accepted(1),
        })
        .await;
        let folder = tempfile::tempdir().unwrap();
        let begun = Instant::now();
        let record = StartRecordFile::of(folder.path());
        run(&control_plane, &record).await.unwrap();
        assert_eq!(control_plane.asked().len(), 501);
        assert!(begun.elapsed() >= 500 * IN_USE_WAIT, "it does not hammer");
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_that_is_refused_for_good_ends_the_process() {
        for (problem, status, ended) in [
            ("start-ended", 409, Ended::Start),
            ("identity-collided", 403, Ended::Collided),
            ("endpoint-revoked", 403, Ended::Revoked),
            ("unauthenticated", 401, Ended::Unknown),
        ] {
            let control_plane =
                ControlPlane::start(move |_, _| Answer::Problem(problem, status)).await;
            let folder = tempfile::tempdir().unwrap();
            let record = StartRecordFile::of(folder.path());
            let error = run(&control_plane, &record).await.unwrap_err();
            let why = error.downcast_ref::<StartError>();
            assert!(matches!(why, Some(StartError::Ended(why)) if *why == ended));
            assert_eq!(control_plane.asked().len(), 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_that_cannot_be_kept_is_not_sent() {
        let control_plane = ControlPlane::start(|_, _| accepted(1)).await;
        let folder = tempfile::tempdir().unwrap();
        let record = StartRecordFile::of(&folder.path().join("gone"));
        assert!(run(&control_plane, &record).await.is_err());
        assert!(control_plane.asked().is_empty());
    }
}
