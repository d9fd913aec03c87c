//! What an endpoint remembers of the log, so that the control plane can neither
//! rewrite it nor show this endpoint another one.

use armour_api::{KeyProof, LogHead, LogKeyRotation, LogRestart, Role, SignedHead};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    entry,
    head::{self, TreeHead},
    key_chain::KeyChain,
    merkle::{check_consistency, check_inclusion},
};

/// The log's keys and the latest head that was checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pin {
    /// Learnt at enrolment; from then on each key has to be followed by the next.
    pub keys: KeyChain,
    /// The latest head.
    pub head: SignedHead,
}

/// An endpoint and the keys it is said to have.
#[derive(Debug, Clone, Copy)]
pub struct Claimed<'a> {
    /// The endpoint.
    pub endpoint: Uuid,
    /// Its side.
    pub role: Role,
    /// Its Ed25519 public key, in base64.
    pub signing_key: &'a str,
}

impl Pin {
    /// Begins with the first head ever seen.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn first(log: &LogHead) -> Result<Self, String> {
        let (keys, _) = KeyChain::of(log)?;
        Ok(Self {
            keys,
            head: log.head.clone(),
        })
    }

    /// Begins with a head of a log whose keys are known.
    ///
    /// # Errors
    /// A sentence that says why it is none.
    pub fn at(keys: KeyChain, head: SignedHead) -> Result<Self, String> {
        keys.check(&head)?;
        Ok(Self { keys, head })
    }

    /// Follows the log to a later head and checks that it holds the keys of these
    /// endpoints. The pin moves only if all of it holds.
    ///
    /// # Errors
    /// A sentence that says what the control plane cannot prove.
    pub fn follow(&mut self, proof: &KeyProof, claimed: &[Claimed<'_>]) -> Result<(), String> {
        let known = self.keys.check(&self.head)?;
        let keys = self.longer_chain(&proof.rotations, &proof.head)?;
        if keys.number_at(known.size) != self.keys.number_at(known.size) {
            return Err("the log's key was retired before a head that it signed".into());
        }
        let head = keys.check(&proof.head)?;
        // An answer that was overtaken by a later one proves as much.
        let steps = head::hashes(&proof.consistency).ok_or("a malformed consistency proof")?;
        let later = (head.size, head.at) >= (known.size, known.at);
        let (old, new) = if later {
            (&known, &head)
        } else {
            (&head, &known)
        };
        check_consistency((old.size, &old.root), (new.size, &new.root), &steps)
            .map_err(|error| format!("the log was rewritten: {error}"))?;
        if head::contradict(&self.head, &proof.head) {
            return Err("the log's key signed two maps of endpoints of one size".into());
        }
        if head.map_root.is_none() && known.map_root.is_some() {
            return Err("the head comes without its map of endpoints".into());
        }
        for claim in claimed {
            check_key(claim, proof, &head)?;
        }
        self.keys = keys;
        if later {
            self.head = proof.head.clone();
        }
        Ok(())
    }

    /// The keys with what rotations add. A rotation that the head's own key does not bear
    /// out is of no log that was shown.
    fn longer_chain(
        &self,
        rotations: &[LogKeyRotation],
        head: &SignedHead,
    ) -> Result<KeyChain, String> {
        let mut keys = self.keys.clone();
        keys.extend(rotations)?;
        let all = keys.rotations().len();
        if all > self.keys.rotations().len() && keys.number_at(head.size) != all {
            return Err("a rotation of the log's key is later than the log".into());
        }
        Ok(keys)
    }
}

/// The action of the entry with which a log goes on after its database was restored.
pub const FENCE: &str = "ledger.fence";

impl Pin {
    /// Goes on with a log whose database was restored: the control plane's signed word
    /// that entries which this pin vouched for are gone. Returns the head given up, which
    /// whoever keeps it can hold against that word.
    ///
    /// # Errors
    /// A sentence that says what the control plane cannot prove; the pin stays.
    pub fn restart(&mut self, restart: &LogRestart) -> Result<SignedHead, String> {
        let known = self.keys.check(&self.head)?;
        let keys = self.longer_chain(&restart.rotations, &restart.head)?;
        let fresh = &keys.rotations()[self.keys.rotations().len()..];
        if fresh.iter().any(|rotation| rotation.at <= known.at) {
            return Err("the log's key was retired before a head that it signed".into());
        }
        let head = keys.check(&restart.head)?;
        // Whoever holds a retired key has no word in how the log goes on.
        if keys.number_at(head.size) < self.keys.number_at(known.size) {
            return Err("a retired key of the log signed how it went on".into());
        }
        let entry = &restart.fence.entry;
        let kept = u64::try_from(entry.seq)
            .ok()
            .and_then(|seq| seq.checked_sub(1))
            .ok_or("an entry without a number")?;
        if entry.action != FENCE || kept >= known.size || entry.created_at <= known.at {
            return Err("the entry does not say that what was seen is lost".into());
        }
        let leaf = entry::leaf(head.tenant, entry).map_err(|error| error.to_string())?;
        let steps = head::hashes(&restart.fence.inclusion).ok_or("a malformed inclusion proof")?;
        check_inclusion(leaf, kept, head.size, &steps, &head.root)
            .map_err(|error| format!("the entry is not in the log: {error}"))?;
        self.keys = keys;
        Ok(std::mem::replace(&mut self.head, restart.head.clone()))
    }
}

fn check_key(claim: &Claimed<'_>, proof: &KeyProof, head: &TreeHead) -> Result<(), String> {
    let target = claim.endpoint.to_string();
    let key = proof
        .keys
        .iter()
        .find(|key| key.entry.target == target)
        .ok_or_else(|| format!("no proof of the key of endpoint {target}"))?;
    let entry = &key.entry;
    let says = |field: &str| entry.detail.get(field).and_then(|value| value.as_str());
    if entry.action != "endpoint.enrol"
        || says("signing_key") != Some(claim.signing_key)
        || says("role") != Some(claim.role.into_str())
    {
        return Err(format!("the log holds another key of endpoint {target}"));
    }
    let leaf = entry::leaf(head.tenant, entry).map_err(|error| error.to_string())?;
    let index = u64::try_from(entry.seq)
        .ok()
        .and_then(|seq| seq.checked_sub(1))
        .ok_or("an entry without a number")?;
    let steps = head::hashes(&key.inclusion).ok_or("a malformed inclusion proof")?;
    check_inclusion(leaf, index, head.size, &steps, &head.root)
        .map_err(|error| format!("the key of endpoint {target} is not in the log: {error}"))
}

#[cfg(test)]
mod tests {
    use armour_api::{AuditEntry, InclusionProof};
    use base64::{Engine, engine::general_purpose::STANDARD};
    use chrono::DateTime;
    use serde_json::json;

    use super::*;
    use crate::{
        Frontier, Hash,
        key_chain::tests::{TENANT, key, rotation, text},
        merkle::{consistency_ranges, inclusion_ranges},
    };

    /// A log whose entry of this number is a fence, or none, and the key that signs it.
    struct Log {
        entries: Vec<AuditEntry>,
        signer: u8,
    }

    impl Log {
        fn new(size: i64, fence: i64, signer: u8) -> Self {
            let entry = |seq| AuditEntry {
                seq,
                actor: "platform".into(),
                action: if seq == fence { FENCE } else { "pair.create" }.into(),
                target: "ledger".into(),
                detail: json!({}),
                // As rotations have it.
                created_at: DateTime::from_timestamp(1_000 + seq, 0).unwrap(),
            };
            let entries = (1..=size).map(entry).collect();
            Self { entries, signer }
        }

        fn leaves(&self) -> Vec<Hash> {
            let leaf = |one| entry::leaf(TENANT, one).unwrap();
            self.entries.iter().map(leaf).collect()
        }

        fn head(&self) -> SignedHead {
            let head = TreeHead {
                tenant: TENANT,
                size: self.entries.len() as u64,
                root: root(&self.leaves()),
                at: self.entries.last().unwrap().created_at,
                map_root: Some([0; 32]),
            };
            head.to_wire(&head.sign(&key(self.signer)))
        }

        fn proof(&self, ranges: Vec<(u64, u64)>) -> Vec<String> {
            let leaves = self.leaves();
            let hash = |(from, to): (u64, u64)| root(&leaves[from as usize..to as usize]);
            let hashes = ranges.into_iter().map(hash);
            hashes.map(|hash| STANDARD.encode(hash)).collect()
        }

        fn since(&self, first: u64, rotations: &[LogKeyRotation]) -> KeyProof {
            let size = self.entries.len() as u64;
            KeyProof {
                head: self.head(),
                consistency: self.proof(consistency_ranges(first, size).unwrap()),
                rotations: rotations.to_vec(),
                keys: Vec::new(),
                states: Vec::new(),
            }
        }

        fn restart(&self, fence: i64, rotations: &[LogKeyRotation]) -> LogRestart {
            let head = self.head();
            let path = inclusion_ranges(fence as u64 - 1, head.size).unwrap();
            LogRestart {
                fence: InclusionProof {
                    entry: self.entries[fence as usize - 1].clone(),
                    size: head.size,
                    root: head.root.clone(),
                    inclusion: self.proof(path),
                },
                head,
                rotations: rotations.to_vec(),
            }
        }
    }

    fn root(leaves: &[Hash]) -> Hash {
        let mut tree = Frontier::default();
        for leaf in leaves {
            tree.push(*leaf);
        }
        tree.root()
    }

    fn pin(log: &Log, rotations: &[LogKeyRotation]) -> Pin {
        let first = KeyChain::new(TENANT, &text(&key(1)), &[]).unwrap();
        let mut pin = Pin {
            keys: first,
            head: log.head(),
        };
        pin.keys.extend(rotations).unwrap();
        assert!(pin.keys.check(&pin.head).is_ok());
        pin
    }

    #[test]
    fn a_pin_follows_a_rotation_at_its_head_or_later_and_none_before_it() {
        for (rotated, followed) in [(3, false), (4, true), (5, true), (6, false)] {
            let mut pin = pin(&Log::new(4, 0, 1), &[]);
            let before = pin.clone();
            let proof = Log::new(6, 0, 2).since(4, &[rotation(1, rotated, 1, 2)]);
            assert_eq!(pin.follow(&proof, &[]).is_ok(), followed, "{rotated}");
            if followed {
                assert_eq!(pin.keys.present(), text(&key(2)));
                assert_eq!(pin.head, proof.head);
            } else {
                assert_eq!(pin, before);
            }
        }
        // A new key that nobody says follows is none.
        let mut pin = pin(&Log::new(4, 0, 1), &[]);
        assert!(pin.follow(&Log::new(6, 0, 2).since(4, &[]), &[]).is_err());
    }

    #[test]
    fn a_log_that_lost_entries_goes_on_through_a_rotation_after_that() {
        // Restored to 2 entries, fenced with the 11th as the clock has it, then rotated.
        let lost = Log::new(9, 0, 1);
        let mut log = Log::new(5, 3, 2);
        for entry in &mut log.entries[2..] {
            entry.created_at += chrono::TimeDelta::seconds(100);
        }
        let mut rotated = rotation(1, 4, 1, 2);
        let restart = log.restart(3, std::slice::from_ref(&rotated));
        // The rotation is earlier than the head that was seen of its old key.
        assert!(pin(&lost, &[]).restart(&restart).is_err());
        rotated = crate::key_chain::tests::rotation_at(1, 4, 1, 2, 1_104);
        let mut pinned = pin(&lost, &[]);
        let restart = log.restart(3, std::slice::from_ref(&rotated));
        assert_eq!(pinned.restart(&restart), Ok(lost.head()));
        assert_eq!(pinned.keys.present(), text(&key(2)));
    }

    #[test]
    fn whoever_holds_a_retired_key_cannot_say_that_the_log_was_restored() {
        let rotations = [rotation(1, 6, 1, 2)];
        let pinned = pin(&Log::new(9, 0, 2), &rotations);
        // A head of a size that the retired key did sign, and one of a larger size.
        for size in [5, 8] {
            for shown in [&rotations[..], &[]] {
                let mut log = Log::new(size, 3, 1);
                for entry in &mut log.entries[2..] {
                    entry.created_at += chrono::TimeDelta::seconds(100);
                }
                let mut pin = pinned.clone();
                assert!(pin.restart(&log.restart(3, shown)).is_err(), "{size}");
                assert_eq!(pin, pinned);
            }
        }
    }
}
