//! What a link says to the control plane.

use ed25519_dalek::VerifyingKey;

use crate::v2::{body::BodyHash, enclave::LaneMark, fields::Reader};

use super::{error::IdentityError, mark::LinkMark, read, start::StartHash};

/// Bytes of the longest body: it retires every lane that one bundle can have.
pub const MAX_BODY: usize = 4 << 20;
/// How many items a link holds; a heartbeat holds as many bytes times 64.
pub const MAX_ITEMS: usize = 1_024;
const MAX_HEARTBEAT: usize = 64 * MAX_ITEMS;
const MAX_LANES: usize = 1 << 16;

/// What a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum LinkKind {
    /// The endpoint is there.
    Heartbeat = 1,
    /// It asks for bundles.
    Request = 2,
    /// It installed bundles.
    Acknowledge = 3,
    /// It did not sign what it was told of.
    Disown = 4,
    /// It ended bundles.
    Retire = 5,
    /// It signs with another key from here on.
    Renew = 6,
    /// A stranger was at the enclave's door.
    EnclaveIntruder = 7,
}

/// What a link says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkBody {
    /// What the agent tells, opaque here.
    Heartbeat(Vec<u8>),
    /// Bundles that are due, all in one link.
    Request(Vec<BundleRequest>),
    /// Bundles that are installed.
    Acknowledge(Vec<Acknowledged>),
    /// What another holder of the key must have signed.
    Disown(Vec<Disowned>),
    /// Bundles that have ended, with every lane.
    Retire(Retirement),
    /// The key of the links that follow.
    Renew(NewKeys),
    /// Why the enclave has wiped all bundles.
    EnclaveIntruder(Intrusion),
}

/// A request of one bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BundleRequest {
    /// The pair.
    pub pair: [u8; 16],
    /// The number of the draw.
    pub draw: u64,
    /// The bundle, of this pair and endpoint, that the new one supersedes; [`NO_BUNDLE`] if
    /// another one is asked for beside those that there are.
    pub replaces: [u8; 16],
}

/// What a request replaces that replaces nothing.
pub const NO_BUNDLE: [u8; 16] = [0; 16];

/// A bundle that is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledged {
    /// The bundle.
    pub bundle: [u8; 16],
    /// H of its context.
    pub context: [u8; 32],
}

/// Something that this endpoint did not sign, although it was told that it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disowned {
    /// A link of this incarnation.
    Link(LinkMark),
    /// A start.
    Start(StartHash),
    /// A ticket of a lane.
    Ticket {
        /// The bundle.
        bundle: [u8; 16],
        /// How far the lane came, as it was told.
        mark: LaneMark,
    },
    /// A receipt of a lane.
    Receipt {
        /// The bundle.
        bundle: [u8; 16],
        /// How far the lane came, as it was told.
        mark: LaneMark,
    },
}

/// Bundles that have ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retirement {
    /// The incarnation ends with them.
    pub leaving: bool,
    /// The bundles.
    pub bundles: Vec<RetiredBundle>,
}

/// A bundle that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetiredBundle {
    /// The bundle.
    pub bundle: [u8; 16],
    /// All of its lanes, ascending, each with its last ticket or, from a producer, receipt; and
    /// directly behind it, if the streams of that exchange re-keyed, or from a producer those of
    /// the next one, with its last sub-ticket or sub-receipt.
    pub lanes: Vec<LaneMark>,
}

/// The keys that follow an incarnation's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewKeys {
    /// What it will sign with.
    pub key: VerifyingKey,
    /// What will be sealed to it.
    pub hpke_key: [u8; 32],
}

/// What was wrong at the enclave's door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Intrusion {
    /// Somebody else asked.
    Stranger = 1,
    /// A request is missing from the count.
    Gap = 2,
}

impl LinkKind {
    /// The kind with this number.
    ///
    /// # Errors
    /// [`IdentityError::Malformed`] for a number that names none.
    pub fn from_u8(number: u8) -> Result<Self, IdentityError> {
        Ok(match number {
            1 => Self::Heartbeat,
            2 => Self::Request,
            3 => Self::Acknowledge,
            4 => Self::Disown,
            5 => Self::Retire,
            6 => Self::Renew,
            7 => Self::EnclaveIntruder,
            _ => return Err(IdentityError::Malformed),
        })
    }
}

impl LinkBody {
    /// What kind of link this is the body of.
    pub fn kind(&self) -> LinkKind {
        match self {
            Self::Heartbeat(_) => LinkKind::Heartbeat,
            Self::Request(_) => LinkKind::Request,
            Self::Acknowledge(_) => LinkKind::Acknowledge,
            Self::Disown(_) => LinkKind::Disown,
            Self::Retire(_) => LinkKind::Retire,
            Self::Renew(_) => LinkKind::Renew,
            Self::EnclaveIntruder(_) => LinkKind::EnclaveIntruder,
        }
    }

    /// Whether this says that the incarnation did not sign this link.
    pub fn disowns(&self, mark: &LinkMark) -> bool {
        matches!(self, Self::Disown(items) if items.contains(&Disowned::Link(*mark)))
    }

    /// The body's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Heartbeat(told) => told.clone(),
            Self::Request(items) => list(items, |out, item| {
                out.extend_from_slice(&item.pair);
                out.extend_from_slice(&item.draw.to_be_bytes());
                out.extend_from_slice(&item.replaces);
            }),
            Self::Acknowledge(items) => list(items, |out, item| {
                out.extend_from_slice(&item.bundle);
                out.extend_from_slice(&item.context);
            }),
            Self::Disown(items) => list(items, |out, item| item.write(out)),
            Self::Retire(retirement) => {
                let mut out = vec![u8::from(retirement.leaving)];
                out.extend(list(&retirement.bundles, |out, retired| {
                    out.extend_from_slice(&retired.bundle);
                    out.extend_from_slice(&(retired.lanes.len() as u32).to_be_bytes());
                    retired.lanes.iter().for_each(|mark| write_mark(out, mark));
                }));
                out
            }
            Self::Renew(keys) => [keys.key.to_bytes(), keys.hpke_key].concat(),
            Self::EnclaveIntruder(what) => vec![*what as u8],
        }
    }

    /// Reads a body of this kind.
    ///
    /// # Errors
    /// [`IdentityError::Malformed`].
    pub fn from_bytes(kind: LinkKind, bytes: &[u8]) -> Result<Self, IdentityError> {
        if bytes.len() > MAX_BODY {
            return Err(IdentityError::Malformed);
        }
        if kind == LinkKind::Heartbeat {
            return match bytes.len() <= MAX_HEARTBEAT {
                true => Ok(Self::Heartbeat(bytes.to_vec())),
                false => Err(IdentityError::Malformed),
            };
        }
        let mut reader = Reader::new(bytes);
        let body = Self::read(kind, &mut reader)?;
        reader.end()?;
        Ok(body)
    }

    /// The body's bytes, if a parser takes them.
    pub(super) fn checked(&self) -> Result<Vec<u8>, IdentityError> {
        let bytes = self.to_bytes();
        match Self::from_bytes(self.kind(), &bytes) {
            Ok(_) => Ok(bytes),
            Err(_) => Err(IdentityError::TooLarge),
        }
    }

    fn read(kind: LinkKind, reader: &mut Reader<'_>) -> Result<Self, IdentityError> {
        Ok(match kind {
            // Has no layout of its own.
            LinkKind::Heartbeat => return Err(IdentityError::Malformed),
            LinkKind::Request => Self::Request(read_list(reader, 1, |reader| {
                Ok(BundleRequest {
                    pair: reader.array()?,
                    draw: reader.u64()?,
                    replaces: reader.array()?,
                })
            })?),
            LinkKind::Acknowledge => Self::Acknowledge(read_list(reader, 1, |reader| {
                Ok(Acknowledged {
                    bundle: reader.array()?,
                    context: reader.array()?,
                })
            })?),
            LinkKind::Disown => Self::Disown(read_list(reader, 1, Disowned::read)?),
            LinkKind::Retire => {
                let leaving = match reader.u8()? {
                    0 => false,
                    1 => true,
                    _ => return Err(IdentityError::Malformed),
                };
                // An endpoint may leave without a bundle.
                let bundles = read_list(reader, usize::from(!leaving), RetiredBundle::read)?;
                Self::Retire(Retirement { leaving, bundles })
            }
            LinkKind::Renew => Self::Renew(NewKeys {
                key: read::key(reader)?,
                hpke_key: reader.array()?,
            }),
            LinkKind::EnclaveIntruder => Self::EnclaveIntruder(match reader.u8()? {
                1 => Intrusion::Stranger,
                2 => Intrusion::Gap,
                _ => return Err(IdentityError::Malformed),
            }),
        })
    }
}

impl Disowned {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Link(mark) => {
                out.push(1);
                out.extend_from_slice(&mark.k.to_be_bytes());
                out.extend_from_slice(&mark.hash.0);
            }
            Self::Start(hash) => {
                out.push(2);
                out.extend_from_slice(&hash.0);
            }
            Self::Ticket { bundle, mark } | Self::Receipt { bundle, mark } => {
                out.push(if matches!(self, Self::Ticket { .. }) {
                    3
                } else {
                    4
                });
                out.extend_from_slice(bundle);
                write_mark(out, mark);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, IdentityError> {
        Ok(match reader.u8()? {
            1 => Self::Link(LinkMark::read(reader)?),
            2 => Self::Start(StartHash(reader.array()?)),
            3 => Self::Ticket {
                bundle: reader.array()?,
                mark: read_mark(reader)?,
            },
            4 => Self::Receipt {
                bundle: reader.array()?,
                mark: read_mark(reader)?,
            },
            _ => return Err(IdentityError::Malformed),
        })
    }
}

impl RetiredBundle {
    fn read(reader: &mut Reader<'_>) -> Result<Self, IdentityError> {
        let bundle = reader.array()?;
        let count = reader.u32()? as usize;
        // A lane has two marks at most.
        if count > 2 * MAX_LANES {
            return Err(IdentityError::Malformed);
        }
        let mut lanes: Vec<LaneMark> = Vec::new();
        for _ in 0..count {
            let mark = read_mark(reader)?;
            if !follows(lanes.last(), &mark) {
                return Err(IdentityError::Malformed);
            }
            lanes.push(mark);
        }
        Ok(Self { bundle, lanes })
    }
}

fn list<T>(items: &[T], write: impl Fn(&mut Vec<u8>, &T)) -> Vec<u8> {
    // What is more than a list may hold is not parsed, and so is not signed.
    let count = u16::try_from(items.len()).unwrap_or(u16::MAX);
    let mut out = count.to_be_bytes().to_vec();
    items.iter().for_each(|item| write(&mut out, item));
    out
}

fn read_list<T>(
    reader: &mut Reader<'_>,
    least: usize,
    read: impl Fn(&mut Reader<'_>) -> Result<T, IdentityError>,
) -> Result<Vec<T>, IdentityError> {
    let count = usize::from(reader.u16()?);
    match (least..=MAX_ITEMS).contains(&count) {
        true => (0..count).map(|_| read(reader)).collect(),
        false => Err(IdentityError::Malformed),
    }
}

/// Whether a list of lanes may go on with this mark.
fn follows(last: Option<&LaneMark>, mark: &LaneMark) -> bool {
    match last {
        _ if mark.k == 0 => last.is_none_or(|last| last.lane < mark.lane),
        Some(last) => {
            let next = last.n.checked_add(1);
            let is_beside = mark.n == last.n || Some(mark.n) == next;
            last.lane == mark.lane && last.k == 0 && is_beside && mark.n > 0
        }
        None => false,
    }
}

/// lane, n, k, hash.
fn write_mark(out: &mut Vec<u8>, mark: &LaneMark) {
    out.extend_from_slice(&mark.lane.to_be_bytes());
    out.extend_from_slice(&mark.n.to_be_bytes());
    out.extend_from_slice(&mark.k.to_be_bytes());
    out.extend_from_slice(&mark.hash.0);
}

fn read_mark(reader: &mut Reader<'_>) -> Result<LaneMark, IdentityError> {
    Ok(LaneMark {
        lane: reader.u16()?,
        n: reader.u64()?,
        k: reader.u32()?,
        hash: BodyHash(reader.array()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v2::identity::testing::{bodies, mark};

    #[test]
    fn bodies_are_read_as_they_are_written() {
        for body in bodies() {
            let bytes = body.to_bytes();
            assert_eq!(LinkBody::from_bytes(body.kind(), &bytes), Ok(body.clone()));
            if body.kind() != LinkKind::Heartbeat {
                let longer = [&bytes[..], &[0]].concat();
                assert!(LinkBody::from_bytes(body.kind(), &longer).is_err());
                assert!(LinkBody::from_bytes(body.kind(), &bytes[1..]).is_err());
            }
        }
        assert_eq!(LinkKind::from_u8(0), Err(IdentityError::Malformed));
        assert_eq!(LinkKind::from_u8(8), Err(IdentityError::Malformed));
    }

    #[test]
    fn lanes_ascend_and_each_is_named_once() {
        let retire = |lanes| {
            LinkBody::Retire(Retirement {
                leaving: false,
                bundles: vec![RetiredBundle {
                    bundle: [1; 16],
                    lanes,
                }],
            })
        };
        assert!(retire(vec![mark(0), mark(1), mark(9)]).checked().is_ok());
        let twice = retire(vec![mark(1), mark(1)]).checked();
        assert_eq!(twice, Err(IdentityError::TooLarge));
        assert!(retire(vec![mark(2), mark(1)]).checked().is_err());
        let sub = |lane, n, k| LaneMark { n, k, ..mark(lane) };
        let seven = mark(1).n;
        let takes = |lanes| retire(lanes).checked().is_ok();
        assert!(takes(vec![mark(0), sub(0, seven, 1), mark(1)]));
        assert!(takes(vec![mark(1), sub(1, seven + 1, 9)]));
        assert!(!takes(vec![sub(1, seven, 1)]));
        assert!(!takes(vec![mark(0), sub(1, seven, 1)]));
        assert!(!takes(vec![mark(1), sub(1, seven - 1, 1)]));
        assert!(!takes(vec![mark(1), sub(1, seven + 2, 1)]));
        assert!(!takes(vec![mark(1), sub(1, seven, 1), sub(1, seven, 2)]));
        assert!(!takes(vec![mark(1), mark(1)]));
        let all = retire((0..=u16::MAX).map(mark).collect());
        assert!(all.checked().is_ok());
    }

    #[test]
    fn no_body_is_signed_that_no_parser_takes() {
        let request = BundleRequest {
            pair: [1; 16],
            draw: 1,
            replaces: NO_BUNDLE,
        };
        let requests = |count| LinkBody::Request(vec![request; count]).checked();
        assert!(requests(1).is_ok() && requests(MAX_ITEMS).is_ok());
        assert!(requests(0).is_err() && requests(MAX_ITEMS + 1).is_err());
        assert!(requests(65_536 + 1).is_err());
        assert!(
            LinkBody::Heartbeat(vec![0; MAX_HEARTBEAT])
                .checked()
                .is_ok()
        );
        assert!(
            LinkBody::Heartbeat(vec![0; MAX_HEARTBEAT + 1])
                .checked()
                .is_err()
        );
        let leaving = |leaving| {
            LinkBody::Retire(Retirement {
                leaving,
                bundles: Vec::new(),
            })
        };
        assert!(leaving(true).checked().is_ok() && leaving(false).checked().is_err());
    }
}
