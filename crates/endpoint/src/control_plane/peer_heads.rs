//! Whether a peer was shown the same audit log. Each opening carries the head that its
//! sender has pinned, signed by the log; both are brought to one size and compared.

use std::{sync::Arc, time::Duration};

use armour_api::{KeyProof, ProblemType, SignedHead};
use armour_client::{Client, ClientError};
use armour_transparency::{head, pin::Pin};
use thiserror::Error;
use uuid::Uuid;

use super::{
    audit_log::{AuditLog, Pinned, to_follow},
    grant::GrantError,
    session::Session,
};
use crate::backoff::Backoff;

/// How often a growing log is followed before the two heads are one.
const MAX_STEPS: usize = 8;
/// How often a proof that is missing is asked for again, and the longest wait before.
const MAX_TRIES: usize = 20;
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How many bundles are remembered whose heads were compared.
const MAX_COMPARED: usize = 4096;

/// Why two heads are not known to be of one log.
#[derive(Debug, Error)]
pub enum PeerHeadError {
    /// They are not: the log's key vouches for two logs, or another key for one.
    #[error("{0}")]
    Alarm(String),
    /// A proof is missing.
    #[error("{0}")]
    Unproven(String),
}

impl Session {
    /// Compares the log's head that came with a bundle's opening with the pinned one, once
    /// a bundle and beside what else goes on. What does not fit is an alarm.
    pub fn compare_log_head(self: &Arc<Self>, bundle: Uuid, head: Vec<u8>) {
        if head.is_empty() {
            return;
        }
        {
            let mut compared = self.compared.lock();
            if compared.len() >= MAX_COMPARED {
                compared.clear();
            }
            if !compared.insert(bundle) {
                return;
            }
        }
        let session = self.clone();
        tokio::spawn(async move { session.compare(bundle, &head).await });
    }

    async fn compare(&self, bundle: Uuid, head: &[u8]) {
        let mut backoff = Backoff::up_to(LONGEST_WAIT);
        for _ in 0..MAX_TRIES {
            match self.log.compare(self.client(), head).await {
                Ok(()) => return,
                Err(PeerHeadError::Alarm(why)) => {
                    tracing::error!(%bundle, why, "THE PEER WAS SHOWN ANOTHER AUDIT LOG");
                    self.note(format!("bundle {bundle}: the peer's audit log: {why}"));
                    self.heartbeat_now();
                    return;
                }
                Err(PeerHeadError::Unproven(why)) => {
                    tracing::warn!(%bundle, why, "the peer's head of the audit log is unproven");
                }
            }
            backoff.wait().await;
        }
        tracing::error!(%bundle, "the control plane does not prove the peer's head of the log");
        self.note(format!(
            "bundle {bundle}: the control plane does not prove the peer's head of the audit log"
        ));
    }
}

impl AuditLog {
    /// Compares a head in the log's own encoding with the pinned one.
    ///
    /// # Errors
    /// [`PeerHeadError`].
    pub async fn compare(&self, client: &Client, theirs: &[u8]) -> Result<(), PeerHeadError> {
        let mut place = self.0.lock().await;
        let Some(pinned) = place.as_mut() else {
            return Ok(());
        };
        let alarm = |why: &str| PeerHeadError::Alarm(why.to_owned());
        let theirs = head::decode(theirs).ok_or_else(|| alarm("it is no head of a log"))?;
        let compared = pinned.compare(client, theirs.clone()).await;
        if let Err(PeerHeadError::Alarm(why)) = &compared {
            let evidence = serde_json::json!({
                "why": why, "keys": pinned.pin.keys,
                "pinned": pinned.pin.head, "peer": theirs,
            });
            pinned.keep_evidence("log-alarms.json", &evidence);
        }
        compared
    }
}

impl Pinned {
    async fn compare(&mut self, client: &Client, head: SignedHead) -> Result<(), PeerHeadError> {
        let mut theirs = self.pin_of_peer(client, head).await?;
        for _ in 0..MAX_STEPS {
            let ours = &self.pin.head;
            if theirs.head.tenant_id != ours.tenant_id {
                return Err(PeerHeadError::Alarm("it is of another tenant's log".into()));
            }
            match theirs.head.size.cmp(&ours.size) {
                std::cmp::Ordering::Equal => {
                    // Both were the latest one, if at different times.
                    let same = !head::contradict(&theirs.head, ours);
                    let why = "the log's key signed two different heads of one size";
                    return same
                        .then_some(())
                        .ok_or_else(|| PeerHeadError::Alarm(why.into()));
                }
                std::cmp::Ordering::Less => self.advance(client, &mut theirs).await?,
                std::cmp::Ordering::Greater => self.advance_own(client).await?,
            }
        }
        Err(PeerHeadError::Unproven(
            "the log does not come to one head".into(),
        ))
    }

    /// The peer's head, if the log's key of its size signed it.
    async fn pin_of_peer(
        &mut self,
        client: &Client,
        head: SignedHead,
    ) -> Result<Pin, PeerHeadError> {
        let read = Pin::at(self.pin.keys.clone(), head.clone());
        let Err(why) = read else {
            return read.map_err(PeerHeadError::Alarm);
        };
        let tenant = head.tenant_id == self.pin.head.tenant_id;
        if tenant && head.size > self.pin.head.size {
            // The peer may have seen a rotation of the log's key that we have not.
            self.advance_own(client).await?;
            if let Ok(pin) = Pin::at(self.pin.keys.clone(), head) {
                return Ok(pin);
            }
        }
        let two = self.look_for_two_rotations(client).await;
        two.map_err(PeerHeadError::Alarm)?;
        Err(PeerHeadError::Alarm(why))
    }

    /// Brings the peer's head to the latest.
    async fn advance(&self, client: &Client, theirs: &mut Pin) -> Result<(), PeerHeadError> {
        match latest(client, &theirs.head).await? {
            Some(proof) => self
                .check_rotations(&proof.rotations)
                .and_then(|()| theirs.follow(&proof, &[]))
                .map_err(PeerHeadError::Alarm),
            None if self.forgives => {
                let restart = client.log_restart(&theirs.head).await.map_err(unproven)?;
                theirs
                    .restart(&restart)
                    .map(drop)
                    .map_err(PeerHeadError::Alarm)
            }
            None => Err(PeerHeadError::Alarm("the log has lost entries".into())),
        }
    }

    async fn advance_own(&mut self, client: &Client) -> Result<(), PeerHeadError> {
        match latest(client, &self.pin.head).await? {
            Some(proof) => self.follow(&proof, &[]).await.map_err(PeerHeadError::Alarm),
            None => self.restart(client).await.map_err(|error| match error {
                GrantError::Untrusted(why) => PeerHeadError::Alarm(why),
                error => PeerHeadError::Unproven(error.to_string()),
            }),
        }
    }
}

/// The proof from a head to the latest; none if the log is shorter.
async fn latest(client: &Client, from: &SignedHead) -> Result<Option<KeyProof>, PeerHeadError> {
    match client.log_head(Some(from.size)).await {
        Ok(latest) => Ok(Some(to_follow(latest))),
        Err(error) if error.is(ProblemType::LogBehind.name()) => Ok(None),
        Err(error) => Err(unproven(error)),
    }
}

fn unproven(error: ClientError) -> PeerHeadError {
    PeerHeadError::Unproven(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use armour_api::{LogHead, LogKeyRotation};
    use armour_transparency::{Frontier, Hash, Rotation, TreeHead, merkle};
    use base64::{Engine, engine::general_purpose::STANDARD};
    use chrono::DateTime;
    use ed25519_dalek::SigningKey;

    use super::*;
    use crate::control_plane::testing::{Answer, ControlPlane, OWN, TestEnclave};

    fn log_key() -> SigningKey {
        SigningKey::from_bytes(&[8; 32])
    }

    /// The signed head of a log of these leaves.
    fn head_of(leaves: &[Hash], key: &SigningKey) -> SignedHead {
        let mut tree = Frontier::default();
        for leaf in leaves {
            tree.push(*leaf);
        }
        let head = TreeHead {
            tenant: OWN.tenant,
            size: tree.size(),
            root: tree.root(),
            at: DateTime::from_timestamp(tree.size() as i64, 0).unwrap(),
            map_root: Some([0; 32]),
        };
        head.to_wire(&head.sign(key))
    }

    fn leaf(number: u8) -> Hash {
        merkle::leaf_hash(&[number])
    }

    fn encoded(head: &SignedHead) -> Vec<u8> {
        head::encode(head).unwrap()
    }

    /// The log's key is followed by another, from a size on.
    fn rotation(size: u64, new: &SigningKey) -> LogKeyRotation {
        let rotation = Rotation {
            tenant: OWN.tenant,
            number: 1,
            size,
            at: DateTime::from_timestamp(size as i64, 1).unwrap(),
            old: log_key().verifying_key(),
            new: new.verifying_key(),
        };
        rotation.to_wire(&rotation.sign(&log_key()), &rotation.sign(new))
    }

    fn latest(head: SignedHead, consistency: &[Hash]) -> Answer {
        rotated(head, consistency, &[])
    }

    fn rotated(head: SignedHead, consistency: &[Hash], rotations: &[LogKeyRotation]) -> Answer {
        let first = STANDARD.encode(log_key().verifying_key());
        Answer::json(&LogHead {
            log_key: rotations.last().map_or(first, |last| last.new_key.clone()),
            rotations: rotations.to_vec(),
            head,
            consistency: consistency
                .iter()
                .map(|hash| STANDARD.encode(hash))
                .collect(),
        })
    }

    /// A log that was pinned at this head, before `answer` answers.
    async fn pinned(
        folder: &Path,
        first: SignedHead,
        mut answer: impl FnMut(&str) -> Answer + Send + 'static,
    ) -> (AuditLog, ControlPlane, Arc<TestEnclave>) {
        let control_plane = ControlPlane::start(move |before, asked| match before {
            0 => latest(first.clone(), &[]),
            _ => answer(&asked.path),
        })
        .await;
        let enclave = TestEnclave::new();
        let client = &control_plane.client;
        let log = AuditLog::open(folder, None, true, client, enclave.clone());
        (log.await.unwrap(), control_plane, enclave)
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_saw_the_same_head_needs_no_proof() {
        let folder = tempfile::tempdir().unwrap();
        let head = head_of(&[leaf(0)], &log_key());
        let (log, control_plane, enclave) =
            pinned(folder.path(), head.clone(), |_| Answer::Lost).await;
        log.compare(&control_plane.client, &encoded(&head))
            .await
            .unwrap();
        assert_eq!(control_plane.asked().len(), 1);
        assert_eq!(*enclave.heads.lock(), [encoded(&head)]);
    }

    #[tokio::test(start_paused = true)]
    async fn two_heads_of_one_size_that_differ_are_an_alarm() {
        let folder = tempfile::tempdir().unwrap();
        let head = head_of(&[leaf(0)], &log_key());
        let (log, control_plane, _) = pinned(folder.path(), head, |_| Answer::Lost).await;
        for other in [
            head_of(&[leaf(9)], &log_key()),
            // It is of no log of this tenant's, or nobody's word.
            head_of(&[leaf(0)], &SigningKey::from_bytes(&[9; 32])),
        ] {
            let compared = log.compare(&control_plane.client, &encoded(&other)).await;
            assert!(
                matches!(compared, Err(PeerHeadError::Alarm(_))),
                "{compared:?}"
            );
        }
        let kept = std::fs::read_to_string(folder.path().join("log-alarms.json")).unwrap();
        assert_eq!(kept.lines().count(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_head_of_a_peer_is_proven_or_an_alarm() {
        let leaves = [leaf(0), leaf(1)];
        let ours = head_of(&leaves, &log_key());
        for (theirs, proof, proven) in [
            (leaf(0), leaf(1), true),
            (leaf(0), leaf(7), false),
            (leaf(9), leaf(1), false),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let head = ours.clone();
            let (log, control_plane, _) = pinned(folder.path(), ours.clone(), move |path| {
                assert_eq!(path, "/v1/endpoint/log?since=1");
                latest(head.clone(), &[proof])
            })
            .await;
            let theirs = encoded(&head_of(&[theirs], &log_key()));
            let compared = log.compare(&control_plane.client, &theirs).await;
            match proven {
                true => compared.unwrap(),
                false => assert!(matches!(compared, Err(PeerHeadError::Alarm(_)))),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_head_of_a_peer_moves_our_own_which_openings_carry() {
        let folder = tempfile::tempdir().unwrap();
        let later = head_of(&[leaf(0), leaf(1)], &log_key());
        let head = later.clone();
        let (log, control_plane, enclave) = pinned(
            folder.path(),
            head_of(&[leaf(0)], &log_key()),
            move |path| {
                assert_eq!(path, "/v1/endpoint/log?since=1");
                latest(head.clone(), &[leaf(1)])
            },
        )
        .await;
        log.compare(&control_plane.client, &encoded(&later))
            .await
            .unwrap();
        assert_eq!(log.size().await, Some(2));
        assert_eq!(enclave.heads.lock().last(), Some(&encoded(&later)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_proof_that_is_missing_is_no_alarm() {
        let first = head_of(&[leaf(0)], &log_key());
        let later = encoded(&head_of(&[leaf(0), leaf(1)], &log_key()));
        for hidden in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let head = first.clone();
            let (log, control_plane, _) = pinned(folder.path(), first.clone(), move |_| {
                match hidden {
                    // The control plane shows nothing after what we know.
                    true => latest(head.clone(), &[]),
                    false => Answer::Problem("unavailable", 503),
                }
            })
            .await;
            let compared = log.compare(&control_plane.client, &later).await;
            assert!(
                matches!(compared, Err(PeerHeadError::Unproven(_))),
                "{compared:?}"
            );
        }
    }

    fn next_key() -> SigningKey {
        SigningKey::from_bytes(&[9; 32])
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_saw_a_rotation_of_the_key_first_is_no_alarm() {
        let folder = tempfile::tempdir().unwrap();
        let later = head_of(&[leaf(0), leaf(1)], &next_key());
        let head = later.clone();
        let (log, control_plane, enclave) = pinned(
            folder.path(),
            head_of(&[leaf(0)], &log_key()),
            move |path| {
                assert_eq!(path, "/v1/endpoint/log?since=1");
                rotated(head.clone(), &[leaf(1)], &[rotation(1, &next_key())])
            },
        )
        .await;
        let client = &control_plane.client;
        log.compare(client, &encoded(&later)).await.unwrap();
        assert_eq!(enclave.heads.lock().last(), Some(&encoded(&later)));
        // Kept, and known after a restart.
        let again = AuditLog::open(folder.path(), None, true, client, enclave.clone());
        let again = again.await.unwrap();
        again.compare(client, &encoded(&later)).await.unwrap();
        assert_eq!(control_plane.asked().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_a_retired_key_signed_after_its_rotation_is_an_alarm() {
        let head = head_of(&[leaf(0), leaf(1)], &next_key());
        for theirs in [
            head_of(&[leaf(0), leaf(1)], &log_key()),
            head_of(&[leaf(0), leaf(1), leaf(2)], &log_key()),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let answer = head.clone();
            let control_plane = ControlPlane::start(move |_, _| {
                rotated(answer.clone(), &[], &[rotation(1, &next_key())])
            })
            .await;
            let client = &control_plane.client;
            let log = AuditLog::open(folder.path(), None, true, client, TestEnclave::new());
            let compared = log.await.unwrap().compare(client, &encoded(&theirs)).await;
            let why = compared.unwrap_err().to_string();
            assert!(why.contains("a retired key"), "{why}");
            let kept = std::fs::read_to_string(folder.path().join("log-alarms.json")).unwrap();
            assert!(kept.contains(&theirs.signature), "{kept}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn two_rotations_by_one_key_are_an_alarm_and_both_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let ours = head_of(&[leaf(0), leaf(1)], &next_key());
        let other_key = SigningKey::from_bytes(&[7; 32]);
        let other = rotation(1, &other_key);
        let shown = [other.clone()];
        let theirs = head_of(&[leaf(0), leaf(5), leaf(6)], &other_key);
        let (first, second) = (ours.clone(), theirs.clone());
        let control_plane = ControlPlane::start(move |before, _| match before {
            0 => rotated(first.clone(), &[], &[rotation(1, &next_key())]),
            _ => rotated(second.clone(), &[leaf(6)], &shown),
        })
        .await;
        let client = &control_plane.client;
        let log = AuditLog::open(folder.path(), None, true, client, TestEnclave::new());
        let log = log.await.unwrap();
        let compared = log.compare(client, &encoded(&theirs)).await;
        let why = compared.unwrap_err().to_string();
        assert!(why.contains("followed by two others"), "{why}");
        let kept = std::fs::read_to_string(folder.path().join("log-alarms.json")).unwrap();
        for signature in [rotation(1, &next_key()).old_signature, other.old_signature] {
            assert!(kept.contains(&signature), "{kept}");
        }
        // What was believed first still is.
        assert_eq!(log.size().await, Some(2));
    }

    #[tokio::test(start_paused = true)]
    async fn the_log_key_given_may_be_any_of_the_logs() {
        let head = head_of(&[leaf(0), leaf(1)], &next_key());
        let text = |key: &SigningKey| STANDARD.encode(key.verifying_key());
        let stranger = SigningKey::from_bytes(&[7; 32]);
        for (given, taken) in [(log_key(), true), (next_key(), true), (stranger, false)] {
            let folder = tempfile::tempdir().unwrap();
            let first = head_of(&[leaf(0)], &log_key());
            let head = head.clone();
            let control_plane =
                ControlPlane::start(move |before, asked| match (before, asked.path.as_str()) {
                    (1, _) => latest(first.clone(), &[]),
                    (_, "/v1/endpoint/log?since=1") => {
                        rotated(head.clone(), &[leaf(1)], &[rotation(1, &next_key())])
                    }
                    _ => rotated(head.clone(), &[], &[rotation(1, &next_key())]),
                })
                .await;
            let client = &control_plane.client;
            let open = async |key: Option<&str>, folder: &Path| {
                AuditLog::open(folder, key, true, client, TestEnclave::new()).await
            };
            // At the first contact, and where the key has changed since the last one.
            let key = text(&given);
            let fresh = open(Some(&key), folder.path()).await;
            assert_eq!(fresh.is_ok(), taken);
            assert_eq!(folder.path().join("log-pin.json").exists(), taken);
            let known = tempfile::tempdir().unwrap();
            open(None, known.path()).await.unwrap();
            assert_eq!(open(Some(&key), known.path()).await.is_ok(), taken);
        }
    }
}
