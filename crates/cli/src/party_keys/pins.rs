//! `armour party-keys pin`, and the file of pins that agents read:
//! `{"pins":[{"tenant":uuid,"party":uuid,"key":base64,"pairs":[uuid]}]}`, `pairs` only where
//! the party is pinned in them.

use std::{
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use armour_enclave::durable::{SHARED, write_whole};
use armour_protocol::v2::identity::certificate::Pin;
use clap::Args;
use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{
    encoding::{public_key, to_base64},
    key_file,
};
use crate::output::Output;
use crate::terminal::print_line;

/// Pins a party's key.
#[derive(Debug, Args)]
pub struct PinKey {
    /// The tenant.
    #[arg(long)]
    tenant: Uuid,
    /// The producer's or consumer's id.
    #[arg(long)]
    party: Uuid,
    /// The party's public key in base64, as `create` showed it.
    #[arg(long, value_parser = public_key, required_unless_present = "party_key",
        conflicts_with = "party_key")]
    public_key: Option<VerifyingKey>,
    /// A pair in which the party is the other side: there it alone is, and it is in no pair
    /// but those that are named; may be given more than once. Without it the party may be the
    /// other side in any pair that no pin names.
    #[arg(long = "pair", value_name = "PAIR")]
    pairs: Vec<Uuid>,
    /// File of the party's key, in place of its public half.
    #[arg(long, value_name = "FILE")]
    party_key: Option<PathBuf>,
    /// The file of pins to add it to; printed if absent.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace another key that the file pins for the party, or the pairs that it is pinned in.
    #[arg(long, requires = "out")]
    replace: bool,
}

/// The pins of a file: one for a party at most.
#[derive(Debug, Default)]
pub(super) struct Pins(Vec<Pinned>);

#[derive(Debug, Clone)]
struct Pinned {
    pin: Pin,
    /// None: any that no pin names.
    pairs: Option<Vec<Uuid>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    pins: Vec<WrittenPin>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPin {
    tenant: Uuid,
    party: Uuid,
    key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pairs: Option<Vec<Uuid>>,
}

impl PinKey {
    pub(super) fn run(self, output: Output) -> anyhow::Result<()> {
        let key = match (self.public_key, &self.party_key) {
            (Some(key), _) => key,
            (None, Some(file)) => key_file::read(file)?.verifying_key(),
            (None, None) => bail!("give the party's key with --public-key or --party-key"),
        };
        let pin = Pin {
            tenant: self.tenant.into_bytes(),
            party: self.party.into_bytes(),
            key,
        };
        let pinned = Pinned {
            pin,
            pairs: Some(self.pairs).filter(|pairs| !pairs.is_empty()),
        };
        let Some(file) = &self.out else {
            let mut pins = Pins::default();
            pins.add(pinned, false)?;
            print_line!("{}", pins.to_text()?)?;
            return Ok(());
        };
        let mut pins = Pins::read(file, true)?;
        pins.add(pinned, self.replace)
            .with_context(|| file.display().to_string())?;
        let text = format!("{}\n", pins.to_text()?);
        write_whole(file, text.as_bytes(), SHARED)
            .with_context(|| format!("write {}", file.display()))?;
        output.print(&json!({ "file": file, "pins": pins.0.len() }), &[])
    }
}

impl Pins {
    /// Reads a file of pins; none of them if it may be missing and is.
    ///
    /// # Errors
    /// If it cannot be read or is none.
    pub(super) fn read(file: &Path, may_be_missing: bool) -> anyhow::Result<Self> {
        let shown = file.display();
        match std::fs::read_to_string(file) {
            Ok(text) => {
                Self::from_text(&text).with_context(|| format!("{shown} is no file of pins"))
            }
            Err(error) if may_be_missing && error.kind() == io::ErrorKind::NotFound => {
                Ok(Self::default())
            }
            Err(error) => Err(error).with_context(|| format!("read {shown}")),
        }
    }

    /// The pin of a party.
    pub(super) fn of(&self, tenant: [u8; 16], party: [u8; 16]) -> Option<&Pin> {
        let mut pins = self.0.iter().map(|one| &one.pin);
        pins.find(|pin| (pin.tenant, pin.party) == (tenant, party))
    }

    fn add(&mut self, new: Pinned, replace: bool) -> anyhow::Result<()> {
        let mut pins = self.0.iter_mut();
        let (tenant, party) = (new.pin.tenant, new.pin.party);
        let known = pins.find(|one| (one.pin.tenant, one.pin.party) == (tenant, party));
        let Some(known) = known else {
            self.0.push(new);
            return Ok(());
        };
        if replace {
            *known = new;
            return Ok(());
        }
        let party = Uuid::from_bytes(party);
        if known.pin.key != new.pin.key {
            bail!(
                "another key is pinned for party {party}: {}. If it is to be followed by this \
                 one, say --replace",
                to_base64(known.pin.key)
            );
        }
        match (&mut known.pairs, new.pairs) {
            (Some(_), None) => bail!(
                "party {party} is pinned in pairs that are named. If it is to be pinned in any, \
                 say --replace"
            ),
            (Some(pairs), Some(more)) => {
                for pair in more {
                    if !pairs.contains(&pair) {
                        pairs.push(pair);
                    }
                }
            }
            (None, pairs) => known.pairs = pairs,
        }
        Ok(())
    }

    fn from_text(text: &str) -> anyhow::Result<Self> {
        let written: Written = serde_json::from_str(text)?;
        let mut pins = Self::default();
        for written in written.pins {
            let key = public_key(&written.key);
            let pin = Pin {
                key: key.with_context(|| format!("the key of party {}", written.party))?,
                tenant: written.tenant.into_bytes(),
                party: written.party.into_bytes(),
            };
            let twice = pins.of(pin.tenant, pin.party).is_some();
            ensure!(!twice, "party {} is pinned twice", written.party);
            let empty = written.pairs.as_ref().is_some_and(Vec::is_empty);
            ensure!(!empty, "party {} is pinned in no pair", written.party);
            let pairs = written.pairs;
            pins.add(Pinned { pin, pairs }, false)?;
        }
        Ok(pins)
    }

    fn to_text(&self) -> anyhow::Result<String> {
        let pins = self.0.iter().map(|Pinned { pin, pairs }| WrittenPin {
            tenant: Uuid::from_bytes(pin.tenant),
            party: Uuid::from_bytes(pin.party),
            key: to_base64(pin.key),
            pairs: pairs.clone(),
        });
        Ok(serde_json::to_string_pretty(&Written {
            pins: pins.collect(),
        })?)
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;

    fn pin(party: u8, key: u8) -> Pin {
        Pin {
            tenant: [1; 16],
            party: [party; 16],
            key: SigningKey::from_bytes(&[key; 32]).verifying_key(),
        }
    }

    fn any(party: u8, key: u8) -> Pinned {
        Pinned {
            pin: pin(party, key),
            pairs: None,
        }
    }

    fn within(pairs: &[u128]) -> Pinned {
        let pairs = pairs.iter().copied().map(Uuid::from_u128);
        Pinned {
            pairs: Some(pairs.collect()),
            ..any(2, 3)
        }
    }

    #[test]
    fn a_party_is_pinned_in_the_pairs_that_are_named() {
        let mut pins = Pins::default();
        let pairs = |pins: &Pins| {
            let text = pins.to_text().unwrap();
            let read = Pins::from_text(&text).unwrap();
            read.0[0].pairs.clone()
        };
        pins.add(any(2, 3), false).unwrap();
        assert_eq!(pairs(&pins), None);
        pins.add(within(&[1]), false).unwrap();
        pins.add(within(&[2, 1]), false).unwrap();
        assert_eq!(pairs(&pins), within(&[1, 2]).pairs);
        let refused = pins.add(any(2, 3), false).unwrap_err().to_string();
        assert!(refused.contains("--replace"), "{refused}");
        pins.add(within(&[3]), true).unwrap();
        assert_eq!(pairs(&pins), within(&[3]).pairs);
        pins.add(any(2, 3), true).unwrap();
        assert_eq!(pairs(&pins), None);
        let empty = pins.to_text().unwrap().replace("}", ",\"pairs\":[]}");
        assert!(Pins::from_text(&empty).is_err());
    }

    #[test]
    fn the_file_is_as_agents_read_it() {
        let mut pins = Pins::default();
        pins.add(any(2, 3), false).unwrap();
        let written: serde_json::Value = serde_json::from_str(&pins.to_text().unwrap()).unwrap();
        let expected = json!({ "pins": [{
            "tenant": "01010101-0101-0101-0101-010101010101",
            "party": "02020202-0202-0202-0202-020202020202",
            "key": to_base64(pin(2, 3).key),
        }] });
        assert_eq!(written, expected);
        let read = Pins::from_text(&pins.to_text().unwrap()).unwrap();
        assert_eq!(read.of([1; 16], [2; 16]), Some(&pin(2, 3)));
        assert_eq!(read.of([9; 16], [2; 16]), None);
    }

    #[test]
    fn a_pinned_key_is_not_replaced_unasked() {
        let mut pins = Pins::default();
        pins.add(any(2, 3), false).unwrap();
        pins.add(any(4, 3), false).unwrap();
        pins.add(any(2, 3), false).unwrap();
        assert_eq!(pins.0.len(), 2);
        let refused = pins.add(any(2, 5), false).unwrap_err().to_string();
        assert!(refused.contains("--replace"), "{refused}");
        assert_eq!(pins.of([1; 16], [2; 16]), Some(&pin(2, 3)));
        pins.add(any(2, 5), true).unwrap();
        assert_eq!(pins.of([1; 16], [2; 16]), Some(&pin(2, 5)));
    }

    #[test]
    fn a_file_that_says_two_things_or_none_is_refused() {
        let text = |pins: &str| format!("{{\"pins\":[{pins}]}}");
        let one = |key: &str| {
            format!(
                "{{\"tenant\":\"{0}\",\"party\":\"{0}\",\"key\":\"{key}\"}}",
                Uuid::nil()
            )
        };
        let (first, second) = (to_base64(pin(2, 3).key), to_base64(pin(2, 5).key));
        assert!(Pins::from_text(&text(&one(&first))).is_ok());
        let two = format!("{},{}", one(&first), one(&second));
        let twice = format!("{0},{0}", one(&first));
        for wrong in [
            text(&two),
            text(&twice),
            text(&one("AAAA")),
            "{}".into(),
            "[]".into(),
            String::new(),
        ] {
            assert!(Pins::from_text(&wrong).is_err(), "{wrong}");
        }
    }
}
