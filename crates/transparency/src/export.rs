//! An exported log, checked line by line without a server.
//!
//! The format is NDJSON: an [`ExportHeader`], then the entries in order, each an
//! [`ExportedEntry`] with the log's signature on the tree that it completes, then
//! an [`ExportEnd`]. As each entry's tree is signed, the first line that was
//! altered, removed or moved is the first whose signature does not hold, whatever
//! was recomputed after it.

use armour_api::{AuditEntry, ExportEnd, ExportHeader, ExportedEntry, SignedHead};
use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::VerifyingKey;
use thiserror::Error;

use crate::{
    entry,
    head::{self, TreeHead},
    key_chain::KeyChain,
    map::{Change, MapInMemory},
    merkle::{Frontier, Hash},
    rotation::ROTATE,
};

/// `format` of an export's header.
pub const FORMAT: &str = "armour-audit/1";

/// What is wrong with an export.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ExportError {
    /// The first line is not a header that can be used.
    #[error("line 1: not the header of an audit export ({0})")]
    Header(String),
    /// The log is another one than the key that the reader trusts.
    #[error("line 1: the log key that you trust is none of the export's")]
    ForeignKey,
    /// A line that is not an entry.
    #[error("line {line}: entry {seq} was expected, but the line cannot be read ({reason})")]
    Unreadable { line: u64, seq: u64, reason: String },
    /// Entries are missing before this line.
    #[error("line {line}: entry {expected} is missing; the next one here is {found}")]
    Missing {
        line: u64,
        expected: u64,
        found: u64,
    },
    /// An entry stands after one that came later.
    #[error("line {line}: entry {found} is out of order; {expected} was expected")]
    Reordered {
        line: u64,
        expected: u64,
        found: u64,
    },
    /// An entry is not what was signed.
    #[error("line {line}: entry {seq} was altered, or one before it was replaced")]
    Altered { line: u64, seq: u64 },
    /// The log's key signed a map of endpoints' states that its entries do not make.
    #[error(
        "line {line}: what the log says of endpoints after entry {seq} is not what its entries say"
    )]
    Map { line: u64, seq: u64 },
    /// The log's key changed without an entry that says so, or an entry says so and it
    /// did not.
    #[error("line {line}: entry {seq} does not tell of the log's key what the rotations do")]
    Rotation { line: u64, seq: u64 },
    /// The export ends before its end.
    #[error("entry {expected} and what follows is missing: the export was cut short")]
    Truncated { expected: u64 },
    /// Something follows the end.
    #[error("line {line}: text after the end of the export")]
    Trailing { line: u64 },
}

/// What a checked export holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// The number of the first entry; earlier ones were past their retention.
    pub first: u64,
    /// How many entries.
    pub entries: u64,
    /// The last head.
    pub head: SignedHead,
    /// Whether the map of endpoints' states is what the entries make it. It is not known of an
    /// export that does not begin with the log, or of a log that got its map later.
    pub map: bool,
}

/// Checks an export's lines as they are read.
pub struct Verifier {
    header: ExportHeader,
    keys: KeyChain,
    edge: Frontier,
    /// What the entries so far make of endpoints, if it is known.
    map: Option<MapInMemory>,
    line: u64,
    last: Option<SignedHead>,
    ended: bool,
}

impl Verifier {
    /// Begins with the header. `trusted` is a key of the log, present or earlier, if the
    /// reader knows one from elsewhere; without it the export vouches for itself alone.
    ///
    /// # Errors
    /// `Header`, `ForeignKey`.
    pub fn begin(line: &str, trusted: Option<&VerifyingKey>) -> Result<Self, ExportError> {
        let wrong = |reason: &dyn ToString| ExportError::Header(reason.to_string());
        let header: ExportHeader = serde_json::from_str(line).map_err(|error| wrong(&error))?;
        if header.format != FORMAT {
            return Err(wrong(&format!("format {}", header.format)));
        }
        let keys = KeyChain::new(header.tenant_id, &header.log_key, &header.rotations)
            .map_err(|error| wrong(&error))?;
        if trusted.is_some_and(|trusted| !keys.holds(trusted)) {
            return Err(ExportError::ForeignKey);
        }
        let before = header
            .first
            .checked_sub(1)
            .ok_or_else(|| wrong(&"first is 0"))?;
        let edge = STANDARD
            .decode(&header.frontier)
            .map_err(|error| wrong(&error))?;
        let edge = Frontier::new(before, &edge).map_err(|error| wrong(&error))?;
        Ok(Self {
            map: (header.first == 1).then(MapInMemory::default),
            header,
            keys,
            edge,
            line: 1,
            last: None,
            ended: false,
        })
    }

    /// Takes the next line.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn line(&mut self, line: &str) -> Result<(), ExportError> {
        self.line += 1;
        let expected = self.edge.size() + 1;
        if self.ended {
            return Err(ExportError::Trailing { line: self.line });
        }
        if let Ok(end) = serde_json::from_str::<ExportEnd>(line) {
            return self.end(&end);
        }
        let exported: ExportedEntry =
            serde_json::from_str(line).map_err(|error| ExportError::Unreadable {
                line: self.line,
                seq: expected,
                reason: error.to_string(),
            })?;
        let found = u64::try_from(exported.entry.seq).unwrap_or(0);
        if found > expected {
            return Err(ExportError::Missing {
                line: self.line,
                expected,
                found,
            });
        }
        if found < expected {
            return Err(ExportError::Reordered {
                line: self.line,
                expected,
                found,
            });
        }
        let altered = ExportError::Altered {
            line: self.line,
            seq: expected,
        };
        let leaf =
            entry::leaf(self.header.tenant_id, &exported.entry).map_err(|_| altered.clone())?;
        self.edge.push(leaf);
        let map_root = exported.map_root.as_deref();
        let map_root = map_root.map(|root| head::bytes(root).ok_or_else(|| altered.clone()));
        let head = TreeHead {
            tenant: self.header.tenant_id,
            size: self.edge.size(),
            root: self.edge.root(),
            at: exported.entry.created_at,
            map_root: map_root.transpose()?,
        };
        let signature = head::bytes(&exported.signature).ok_or_else(|| altered.clone())?;
        let signed = head.to_wire(&signature);
        self.keys.check(&signed).map_err(|_| altered)?;
        if !self.tells_of_rotation(&exported.entry, head.size) {
            return Err(ExportError::Rotation {
                line: self.line,
                seq: expected,
            });
        }
        if !self.makes_map(&exported.entry, head.map_root) {
            return Err(ExportError::Map {
                line: self.line,
                seq: expected,
            });
        }
        self.last = Some(signed);
        Ok(())
    }

    /// Ends the check.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn finish(self) -> Result<Verified, ExportError> {
        match (self.last, self.ended) {
            (Some(head), true) => Ok(Verified {
                first: self.header.first,
                entries: self.edge.size() + 1 - self.header.first,
                head,
                map: self.map.is_some(),
            }),
            _ => Err(ExportError::Truncated {
                expected: self.edge.size() + 1,
            }),
        }
    }

    /// Whether the entries up to this one make the map that was signed with it; also if it
    /// cannot be known.
    fn makes_map(&mut self, entry: &AuditEntry, root: Option<Hash>) -> bool {
        if root.is_none() {
            // From before there was a map: what is made of endpoints then is told later.
            self.map = None;
        }
        let Some(map) = &mut self.map else {
            return true;
        };
        let changed = match Change::of(&entry.action, &entry.target, &entry.detail) {
            Ok(Some((endpoint, change))) => map.apply(endpoint, change).is_ok(),
            Ok(None) => true,
            Err(_) => false,
        };
        changed && Some(map.root()) == root
    }

    /// Whether an entry tells of a rotation where there was one, and of none elsewhere.
    fn tells_of_rotation(&self, entry: &AuditEntry, size: u64) -> bool {
        let says = |field: &str| entry.detail.get(field).and_then(|value| value.as_str());
        match self.keys.rotation_before(size) {
            None => entry.action != ROTATE,
            Some(rotation) => {
                entry.action == ROTATE
                    && says("old_key") == Some(&rotation.old_key)
                    && says("new_key") == Some(&rotation.new_key)
            }
        }
    }

    /// The end names the number of entries; the signature of the last of them
    /// covers it, so that entries cut off just before the end are missed.
    fn end(&mut self, end: &ExportEnd) -> Result<(), ExportError> {
        let expected = self.edge.size() + 1;
        if end.head.size >= expected {
            return Err(ExportError::Missing {
                line: self.line,
                expected,
                found: end.head.size + 1,
            });
        }
        if self.last.as_ref() != Some(&end.head) {
            return Err(ExportError::Altered {
                line: self.line,
                seq: self.edge.size(),
            });
        }
        self.ended = true;
        Ok(())
    }
}
