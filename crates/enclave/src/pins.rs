//! The keys that peers' parties are held to, from a file that no control plane writes.

use std::path::Path;

use anyhow::{Context as _, ensure};
use armour_protocol::v2::{context::Binding, identity::certificate::Pin};
use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::VerifyingKey;
use serde::Deserialize;
use uuid::Uuid;

/// What the file holds: JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    pins: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    tenant: Uuid,
    party: Uuid,
    /// Ed25519, base64.
    key: String,
    /// In which pairs the party is the peer; in any that no pin names if absent.
    pairs: Option<Vec<Uuid>>,
}

/// Whom peers are held to. None at all holds nobody to anything.
#[derive(Debug, Default)]
pub(crate) struct Pins(Vec<Pinned>);

#[derive(Debug, PartialEq, Eq)]
struct Pinned {
    pin: Pin,
    /// None: any that no pin names.
    pairs: Option<Vec<[u8; 16]>>,
}

/// What the pins say of a bundle's other end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HeldTo<'a> {
    /// Nothing: there are no pins.
    Nothing,
    /// This key has to vouch for it.
    Key {
        pin: &'a Pin,
        /// Whether the pin names the bundle's pair.
        in_pair: bool,
    },
    /// It must not be the other end.
    Refused,
}

impl Pins {
    /// What they say of this party as the other end of a bundle.
    ///
    /// Whoever pins anybody takes no bundle with a party that is not pinned, whatever its
    /// tenant: the control plane names tenant and party, and could name ones of its own. And
    /// in a pair that a pin names nobody stands in for the party that is named: the control
    /// plane chooses the pair's endpoints.
    pub(crate) fn of(&self, binding: &Binding, party: &[u8; 16]) -> HeldTo<'_> {
        if self.0.is_empty() {
            return HeldTo::Nothing;
        }
        let mut of_tenant = self.0.iter().filter(|one| one.pin.tenant == binding.tenant);
        let named = of_tenant.clone().any(|one| one.names(&binding.pair));
        match of_tenant.find(|one| one.pin.party == *party) {
            Some(one) if one.names(&binding.pair) || (!named && one.pairs.is_none()) => {
                HeldTo::Key {
                    pin: &one.pin,
                    in_pair: named,
                }
            }
            _ => HeldTo::Refused,
        }
    }
}

impl Pinned {
    fn names(&self, pair: &[u8; 16]) -> bool {
        self.pairs
            .as_ref()
            .is_some_and(|pairs| pairs.contains(pair))
    }
}

/// Parties that are pinned in any pair.
#[cfg(test)]
impl From<Vec<Pin>> for Pins {
    fn from(pins: Vec<Pin>) -> Self {
        let pins = pins.into_iter().map(|pin| Pinned { pin, pairs: None });
        Self(pins.collect())
    }
}

/// A party that is pinned in these pairs.
#[cfg(test)]
impl From<(Pin, Vec<[u8; 16]>)> for Pins {
    fn from((pin, pairs): (Pin, Vec<[u8; 16]>)) -> Self {
        Self(vec![Pinned {
            pin,
            pairs: Some(pairs),
        }])
    }
}

#[cfg(test)]
impl Pins {
    /// Both.
    pub(crate) fn and(mut self, other: impl Into<Self>) -> Self {
        self.0.extend(other.into().0);
        self
    }
}

/// The tenants whose parties a file pins; each once.
///
/// # Errors
/// As [`load`].
pub fn tenants(path: &Path) -> anyhow::Result<Vec<Uuid>> {
    let pins = load(path)?.0.into_iter();
    let mut tenants: Vec<Uuid> = pins.map(|one| Uuid::from_bytes(one.pin.tenant)).collect();
    tenants.sort_unstable();
    tenants.dedup();
    Ok(tenants)
}

/// Reads the pins. A file that cannot be read whole is an error: a pin that was left out
/// would be no pin.
///
/// # Errors
/// If the file is missing or malformed, holds none, or names one party twice.
pub(crate) fn load(path: &Path) -> anyhow::Result<Pins> {
    let text = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    parse(&text).with_context(|| format!("{} holds no pins", path.display()))
}

fn parse(text: &[u8]) -> anyhow::Result<Pins> {
    let file: File = serde_json::from_slice(text)?;
    ensure!(!file.pins.is_empty(), "the list is empty");
    let mut pins: Vec<Pinned> = Vec::with_capacity(file.pins.len());
    for entry in file.pins {
        let (tenant, party) = (entry.tenant.into_bytes(), entry.party.into_bytes());
        let twice = pins
            .iter()
            .any(|one| (one.pin.tenant, one.pin.party) == (tenant, party));
        ensure!(!twice, "party {} is pinned twice", entry.party);
        let key = STANDARD.decode(&entry.key).context("a key's base64")?;
        let key = VerifyingKey::try_from(&key[..]).context("an Ed25519 key")?;
        ensure!(!key.is_weak(), "a key of small order");
        let pairs = entry.pairs.map(|pairs| {
            let pairs = pairs.into_iter().map(Uuid::into_bytes);
            pairs.collect::<Vec<_>>()
        });
        // It could be meant as in no pair, and as in any.
        let empty = pairs.as_ref().is_some_and(Vec::is_empty);
        ensure!(!empty, "party {} is pinned in no pair", entry.party);
        let pin = Pin { tenant, party, key };
        pins.push(Pinned { pin, pairs });
    }
    Ok(Pins(pins))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTY: &str = "00000000-0000-0000-0000-000000000002";

    fn file(key: &str, pairs: &str, times: usize) -> String {
        let tenant = Uuid::from_u128(1);
        let entry = format!(r#"{{"tenant":"{tenant}","party":"{PARTY}","key":"{key}"{pairs}}}"#);
        format!(r#"{{"pins":[{}]}}"#, vec![entry; times].join(","))
    }

    #[test]
    fn a_file_of_pins_is_read_whole_or_not_at_all() {
        let key = ed25519_dalek::SigningKey::from_bytes(&[1; 32]).verifying_key();
        let text = STANDARD.encode(key.as_bytes());
        let pin = Pin {
            tenant: Uuid::from_u128(1).into_bytes(),
            party: Uuid::from_u128(2).into_bytes(),
            key,
        };
        let read = |pairs: &str| parse(file(&text, pairs, 1).as_bytes()).unwrap().0;
        assert_eq!(read(""), Pins::from(vec![pin.clone()]).0);
        let pair = Uuid::from_u128(3);
        let in_pair = Pins::from((pin, vec![pair.into_bytes()])).0;
        assert_eq!(read(&format!(r#","pairs":["{pair}"]"#)), in_pair);
        let small = STANDARD.encode([[1].as_slice(), &[0; 31]].concat());
        for wrong in [
            file(&text, "", 2),
            file("AAAA", "", 1),
            file("?", "", 1),
            file(&small, "", 1),
            file(&text, r#","pairs":[]"#, 1),
            file(&text, r#","pairs":["?"]"#, 1),
            file(&text, "", 0),
            r#"{"pins":[{}]}"#.to_owned(),
            r#"{"pins":[],"more":1}"#.to_owned(),
            String::new(),
        ] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_tenants_of_a_file_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pins.json");
        let key = ed25519_dalek::SigningKey::from_bytes(&[1; 32]).verifying_key();
        std::fs::write(&path, file(&STANDARD.encode(key.as_bytes()), "", 1)).unwrap();
        assert_eq!(tenants(&path).unwrap(), [Uuid::from_u128(1)]);
        assert!(tenants(&folder.path().join("gone")).is_err());
    }
}
