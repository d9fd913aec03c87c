//! The keys that a log has had, from its first to the present one, and which of them
//! signs heads of which size.

use armour_api::{LogHead, LogKeyRotation, SignedHead};
use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    head::{TreeHead, public_key},
    rotation::Rotation,
};

/// The keys of a tenant's log. Each was followed by the next under its own signature, so
/// whoever trusts one of them trusts all that came after it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyChain {
    tenant_id: Uuid,
    /// Ed25519 public key, in base64.
    first: String,
    rotations: Vec<LogKeyRotation>,
}

/// Two rotations that one key has signed: whoever held it made two logs of one, or the
/// key is in two hands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Contradiction {
    /// The rotation that was believed first.
    pub known: LogKeyRotation,
    /// The other one.
    pub other: LogKeyRotation,
}

impl KeyChain {
    /// All keys of a log, up to the one that signs now.
    ///
    /// # Errors
    /// A sentence that says why these rotations do not lead there.
    pub fn new(tenant: Uuid, log_key: &str, rotations: &[LogKeyRotation]) -> Result<Self, String> {
        let first = rotations.first().map(|first| first.old_key.as_str());
        let mut chain = Self {
            tenant_id: tenant,
            first: first.unwrap_or(log_key).to_owned(),
            rotations: Vec::new(),
        };
        public_key(&chain.first)?;
        chain.extend(rotations)?;
        match chain.present() == log_key {
            true => Ok(chain),
            false => Err("the rotations do not lead to the log's key".into()),
        }
    }

    /// All keys of a log as its latest head is told with them, and that head.
    ///
    /// # Errors
    /// A sentence that says what is wrong; also if an earlier key signed the head.
    pub fn of(log: &LogHead) -> Result<(Self, TreeHead), String> {
        let chain = Self::new(log.head.tenant_id, &log.log_key, &log.rotations)?;
        let head = chain.check(&log.head)?;
        match chain.number_at(head.size) == chain.rotations.len() {
            true => Ok((chain, head)),
            false => Err("a retired key of the log signed its latest head".into()),
        }
    }

    /// The key that signs now, in base64.
    pub fn present(&self) -> &str {
        self.key(self.rotations.len())
    }

    /// Every rotation, from the first on.
    pub fn rotations(&self) -> &[LogKeyRotation] {
        &self.rotations
    }

    /// Whether this is one of the log's keys.
    pub fn holds(&self, key: &VerifyingKey) -> bool {
        let key = STANDARD.encode(key);
        self.first == key || self.rotations.iter().any(|one| one.new_key == key)
    }

    /// Which key signs heads of this size: 0 for the first.
    pub fn number_at(&self, size: u64) -> usize {
        self.rotations.partition_point(|one| one.size < size)
    }

    /// Follows rotations, of which some may be known.
    ///
    /// # Errors
    /// A sentence that says what is wrong with them; nothing is followed then.
    pub fn extend(&mut self, rotations: &[LogKeyRotation]) -> Result<(), String> {
        let mut longer = self.clone();
        for rotation in rotations {
            longer.follow(rotation)?;
        }
        *self = longer;
        Ok(())
    }

    /// The first of these rotations that contradicts one that is known. Both are the old
    /// key's own word, so an honest log has none.
    pub fn contradiction(&self, rotations: &[LogKeyRotation]) -> Option<Contradiction> {
        rotations.iter().find_map(|other| {
            let known = self
                .rotations
                .iter()
                .find(|known| known.old_key == other.old_key && *known != other)?;
            let signed = other.tenant_id == self.tenant_id && Rotation::check(other).is_ok();
            signed.then(|| Contradiction {
                known: known.clone(),
                other: other.clone(),
            })
        })
    }

    /// Reads a head of this log and checks that the key of its size signed it.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn check(&self, head: &SignedHead) -> Result<TreeHead, String> {
        if head.tenant_id != self.tenant_id {
            return Err("the head is of another tenant's log".into());
        }
        let number = self.number_at(head.size);
        TreeHead::check(head, &public_key(self.key(number))?).map_err(|why| {
            match self.signer(head) {
                Some((_, signer)) if signer < number => {
                    "a retired key of the log signed this head after its rotation".into()
                }
                _ => why,
            }
        })
    }

    /// The head, if one of the log's keys signed it, and which: 0 for the first. The key
    /// may be another one than that of the head's size: whoever trusts such a head has to
    /// know why.
    pub fn signer(&self, head: &SignedHead) -> Option<(TreeHead, usize)> {
        if head.tenant_id != self.tenant_id {
            return None;
        }
        (0..=self.rotations.len()).rev().find_map(|number| {
            let key = public_key(self.key(number)).ok()?;
            Some((TreeHead::check(head, &key).ok()?, number))
        })
    }

    /// The rotation after which the key of a size signed its first head, if a key did.
    pub(crate) fn rotation_before(&self, size: u64) -> Option<&LogKeyRotation> {
        self.rotations
            .iter()
            .find(|one| one.size.checked_add(1) == Some(size))
    }

    fn key(&self, number: usize) -> &str {
        match number.checked_sub(1) {
            None => &self.first,
            Some(rotation) => &self.rotations[rotation].new_key,
        }
    }

    fn follow(&mut self, rotation: &LogKeyRotation) -> Result<(), String> {
        let place = rotation
            .number
            .checked_sub(1)
            .and_then(|place| usize::try_from(place).ok())
            .ok_or("a rotation without a number")?;
        if let Some(known) = self.rotations.get(place) {
            return match known == rotation {
                true => Ok(()),
                false => Err("the log's key was rotated in another way than was seen".into()),
            };
        }
        if place > self.rotations.len() {
            return Err("a rotation of the log's key is missing".into());
        }
        let read = Rotation::check(rotation)?;
        if read.tenant != self.tenant_id {
            return Err("the rotation is of another tenant's log".into());
        }
        if rotation.old_key != self.present() {
            return Err("the rotation does not begin with the log's key".into());
        }
        if self.holds(&read.new) {
            return Err("the rotation leads to an earlier key of the log".into());
        }
        let before = self.rotations.last();
        if before.is_some_and(|before| before.size >= read.size || before.at > read.at) {
            return Err("the rotation is earlier than the one before it".into());
        }
        self.rotations.push(rotation.clone());
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use chrono::DateTime;
    use ed25519_dalek::SigningKey;

    use super::*;

    pub(crate) const TENANT: Uuid = Uuid::from_u128(7);

    pub(crate) fn key(number: u8) -> SigningKey {
        SigningKey::from_bytes(&[number; 32])
    }

    pub(crate) fn text(key: &SigningKey) -> String {
        STANDARD.encode(key.verifying_key())
    }

    /// Rotation `number` from one key to another.
    pub(crate) fn rotation(number: u64, size: u64, old: u8, new: u8) -> LogKeyRotation {
        signed(&record(number, size, old, new), old, new)
    }

    /// The same at a time, in seconds since 1970.
    pub(crate) fn rotation_at(
        number: u64,
        size: u64,
        old: u8,
        new: u8,
        seconds: i64,
    ) -> LogKeyRotation {
        let mut record = record(number, size, old, new);
        record.at = DateTime::from_timestamp(seconds, 0).unwrap();
        signed(&record, old, new)
    }

    fn record(number: u64, size: u64, old: u8, new: u8) -> Rotation {
        Rotation {
            tenant: TENANT,
            number,
            size,
            at: DateTime::from_timestamp(1_000 + size as i64, 0).unwrap(),
            old: key(old).verifying_key(),
            new: key(new).verifying_key(),
        }
    }

    fn signed(record: &Rotation, old: u8, new: u8) -> LogKeyRotation {
        record.to_wire(&record.sign(&key(old)), &record.sign(&key(new)))
    }

    fn head(size: u64, signer: u8) -> SignedHead {
        let head = TreeHead {
            tenant: TENANT,
            size,
            root: [9; 32],
            at: DateTime::UNIX_EPOCH,
            map_root: Some([0; 32]),
        };
        head.to_wire(&head.sign(&key(signer)))
    }

    fn chain() -> KeyChain {
        let rotations = [rotation(1, 10, 1, 2), rotation(2, 20, 2, 3)];
        KeyChain::new(TENANT, &text(&key(3)), &rotations).unwrap()
    }

    #[test]
    fn heads_are_the_key_s_of_their_size() {
        let chain = chain();
        for (size, signer) in [(1, 1), (10, 1), (11, 2), (20, 2), (21, 3), (900, 3)] {
            for other in 1..=4 {
                let checked = chain.check(&head(size, other));
                assert_eq!(checked.is_ok(), other == signer, "{size} by {other}");
            }
        }
        let why = chain.check(&head(11, 1)).unwrap_err();
        assert!(why.contains("a retired key"), "{why}");
        let why = chain.check(&head(10, 2)).unwrap_err();
        assert!(why.contains("did not sign"), "{why}");
    }

    #[test]
    fn a_forged_rotation_is_refused() {
        let good = rotation(1, 10, 1, 2);
        let mut forged = vec![
            // Nobody who holds the old key signed it, or nobody who holds the new one.
            signed(&record(1, 10, 1, 2), 4, 2),
            signed(&record(1, 10, 1, 2), 1, 4),
            signed(&record(1, 10, 1, 2), 2, 1),
        ];
        let mut stranger = record(1, 10, 1, 2);
        stranger.tenant = Uuid::from_u128(8);
        forged.push(signed(&stranger, 1, 2));
        for alter in [
            |r: &mut LogKeyRotation| r.size += 1,
            |r: &mut LogKeyRotation| r.number += 1,
            |r: &mut LogKeyRotation| r.tenant_id = Uuid::from_u128(8),
            |r: &mut LogKeyRotation| r.at += chrono::TimeDelta::microseconds(1),
            |r: &mut LogKeyRotation| r.new_key = text(&key(4)),
            |r: &mut LogKeyRotation| r.old_signature = r.new_signature.clone(),
        ] {
            let mut altered = good.clone();
            alter(&mut altered);
            forged.push(altered);
        }
        let known = KeyChain::new(TENANT, &text(&key(1)), &[]).unwrap();
        for rotation in forged {
            let mut chain = known.clone();
            assert!(chain.extend(std::slice::from_ref(&rotation)).is_err());
            assert_eq!(chain, known, "{rotation:?}");
        }
        known.clone().extend(&[good]).unwrap();
    }

    #[test]
    fn rotations_out_of_order_or_back_to_an_earlier_key_are_refused() {
        for next in [
            rotation(2, 30, 1, 4),
            rotation(3, 30, 2, 4),
            rotation(3, 20, 3, 4),
            rotation(3, 30, 3, 1),
            rotation(3, 30, 3, 3),
            rotation(4, 30, 3, 4),
            rotation(0, 30, 3, 4),
        ] {
            assert!(
                chain().extend(std::slice::from_ref(&next)).is_err(),
                "{next:?}"
            );
        }
        let mut longer = chain();
        let known = rotation(2, 20, 2, 3);
        longer.extend(&[known, rotation(3, 30, 3, 4)]).unwrap();
        assert_eq!(longer.present(), text(&key(4)));
        let beginning = [rotation(2, 20, 2, 3)];
        assert!(KeyChain::new(TENANT, &text(&key(3)), &beginning).is_err());
        let elsewhere = [rotation(1, 10, 1, 2)];
        assert!(KeyChain::new(TENANT, &text(&key(3)), &elsewhere).is_err());
    }

    #[test]
    fn any_key_of_the_chain_is_trusted_and_no_other() {
        for number in 1..=4 {
            assert_eq!(chain().holds(&key(number).verifying_key()), number <= 3);
        }
    }

    #[test]
    fn two_rotations_by_one_key_contradict_each_other() {
        let other = rotation(1, 10, 1, 5);
        let found = chain().contradiction(&[rotation(1, 10, 1, 2), other.clone()]);
        let found = found.unwrap();
        assert_eq!((found.known, found.other), (rotation(1, 10, 1, 2), other));
        let known = [rotation(1, 10, 1, 2), rotation(3, 30, 3, 4)];
        assert_eq!(chain().contradiction(&known), None);
        // What the key did not sign contradicts nothing.
        let forged = signed(&record(1, 10, 1, 5), 4, 5);
        assert_eq!(chain().contradiction(&[forged]), None);
    }

    #[test]
    fn a_log_s_latest_head_is_by_its_present_key() {
        let log = |size, signer| LogHead {
            log_key: text(&key(3)),
            rotations: chain().rotations().to_vec(),
            head: head(size, signer),
            consistency: Vec::new(),
        };
        assert_eq!(KeyChain::of(&log(21, 3)).unwrap().0, chain());
        let why = KeyChain::of(&log(20, 2)).unwrap_err();
        assert!(why.contains("a retired key"), "{why}");
    }
}
