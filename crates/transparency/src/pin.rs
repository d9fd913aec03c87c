//! What an endpoint remembers of the log, so that the control plane can neither
//! rewrite it nor show this endpoint another one.

use armour_api::{KeyProof, LogRestart, Role, SignedHead};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    entry,
    head::{self, TreeHead},
    merkle::{check_consistency, check_inclusion},
};

/// The log's key and the latest head that was checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pin {
    /// Ed25519 public key, in base64; learnt at enrolment and never changed.
    pub log_key: String,
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
    pub fn first(log_key: &str, head: SignedHead) -> Result<Self, String> {
        TreeHead::check(&head, &head::public_key(log_key)?)?;
        Ok(Self {
            log_key: log_key.into(),
            head,
        })
    }

    /// Follows the log to a later head and checks that it holds the keys of these
    /// endpoints. The pin moves only if all of it holds.
    ///
    /// # Errors
    /// A sentence that says what the control plane cannot prove.
    pub fn follow(&mut self, proof: &KeyProof, claimed: &[Claimed<'_>]) -> Result<(), String> {
        let key = head::public_key(&self.log_key)?;
        let known = TreeHead::check(&self.head, &key)?;
        let head = TreeHead::check(&proof.head, &key)?;
        if head.tenant != known.tenant {
            return Err("the head is of another tenant's log".into());
        }
        // An answer that was overtaken by a later one proves as much.
        let steps = head::hashes(&proof.consistency).ok_or("a malformed consistency proof")?;
        let later = head.size >= known.size;
        let (old, new) = if later {
            (&known, &head)
        } else {
            (&head, &known)
        };
        check_consistency((old.size, &old.root), (new.size, &new.root), &steps)
            .map_err(|error| format!("the log was rewritten: {error}"))?;
        for claim in claimed {
            check_key(claim, proof, &head)?;
        }
        if later {
            self.head = proof.head.clone();
        }
        Ok(())
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
        let key = head::public_key(&self.log_key)?;
        let known = TreeHead::check(&self.head, &key)?;
        let head = TreeHead::check(&restart.head, &key)?;
        if head.tenant != known.tenant {
            return Err("the head is of another tenant's log".into());
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
