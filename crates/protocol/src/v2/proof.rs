//! Signatures: what is signed is a statement, and its proof is a signature of its own or
//! one that up to 64 statements to one peer share. Each proof stands alone.

use ed25519_dalek::VerifyingKey;
use rand_core::CryptoRng;

use crate::crypto::{Sign, verify};

use super::{
    context::{Context, End},
    error::{BatchError, HeadError},
    fields::{Reader, join},
    merkle::{self, MAX_LEAVES, Node},
};

const LABEL_BATCH: &[u8] = b"armour/2 batch";

/// Which kind of statement; a batch holds one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum StatementKind {
    Ticket = 1,
    Receipt = 2,
    Transient = 3,
    Checkpoint = 4,
    SubTicket = 5,
    SubReceipt = 6,
}

/// What a signature covers: label, hash of the context, and what is said.
pub(crate) struct Statement {
    kind: StatementKind,
    /// The endpoint that it is said to.
    peer: [u8; 16],
    bytes: Vec<u8>,
}

impl Statement {
    pub(crate) fn new(
        kind: StatementKind,
        label: &[u8],
        context: &Context,
        peer: &End,
        fields: &[&[u8]],
    ) -> Self {
        let mut all: Vec<&[u8]> = vec![context.hash()];
        all.extend_from_slice(fields);
        Self {
            kind,
            peer: peer.endpoint,
            bytes: join(label, &all),
        }
    }
}

/// What can be signed and verified.
pub(crate) trait Stated {
    fn statement(&self, context: &Context) -> Statement;
    fn signer<'a>(&self, context: &'a Context) -> &'a VerifyingKey;
}

/// A message that is not signed yet, and so cannot be sent.
pub struct Unsigned<M> {
    message: M,
    statement: Statement,
}

/// A message and its proof, which may not be its sender's: verify it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed<M> {
    pub(crate) message: M,
    pub(crate) proof: Proof,
}

/// A signature, or a share in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    signature: [u8; 64],
    shared: Option<Shared>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Shared {
    index: u8,
    count: u8,
    salt: [u8; 16],
    path: Vec<Node>,
}

impl<M> Unsigned<M> {
    /// Signs the message alone.
    pub fn sign(self, key: &impl Sign) -> Signed<M> {
        let proof = Proof::alone(&self.statement, key);
        Signed {
            message: self.message,
            proof,
        }
    }

    /// Signs several messages to one peer with one signature.
    ///
    /// # Errors
    /// [`BatchError`]; then none is signed.
    pub fn sign_all<R: CryptoRng + ?Sized>(
        batch: Vec<Self>,
        key: &impl Sign,
        rng: &mut R,
    ) -> Result<Vec<Signed<M>>, BatchError> {
        let (Some(first), 1..=MAX_LEAVES) = (batch.first(), batch.len()) else {
            return Err(BatchError::Count);
        };
        let (kind, peer) = (first.statement.kind, first.statement.peer);
        if batch.iter().any(|one| one.statement.peer != peer) {
            return Err(BatchError::Peers);
        }
        if batch.len() == 1 {
            return Ok(batch.into_iter().map(|one| one.sign(key)).collect());
        }
        // At most 64, as was checked.
        let count = batch.len() as u8;
        let salted: Vec<([u8; 16], Self)> = batch
            .into_iter()
            .map(|one| {
                let mut salt = [0; 16];
                rng.fill_bytes(&mut salt);
                (salt, one)
            })
            .collect();
        let leaves: Vec<Node> = salted
            .iter()
            .map(|(salt, one)| merkle::leaf(salt, &one.statement.bytes))
            .collect();
        let (root, paths) = merkle::tree(&leaves);
        let signature = key.signature(&batch_bytes(kind, count, &root));
        let signed = (0..).zip(salted).zip(paths);
        Ok(signed
            .map(|((index, (salt, one)), path)| Signed {
                message: one.message,
                proof: Proof {
                    signature,
                    shared: Some(Shared {
                        index,
                        count,
                        salt,
                        path,
                    }),
                },
            })
            .collect())
    }
}

impl<M> Unsigned<M> {
    pub(crate) fn new(message: M, context: &Context) -> Self
    where
        M: Stated,
    {
        Self {
            statement: message.statement(context),
            message,
        }
    }
}

impl<M> Unsigned<M> {
    /// What is to be said.
    pub(crate) fn unsigned(&self) -> &M {
        &self.message
    }
}

impl<M> Signed<M> {
    /// What is said; who said it is not checked by this.
    pub fn unverified(&self) -> &M {
        &self.message
    }

    /// The proof.
    pub fn proof(&self) -> &Proof {
        &self.proof
    }

    /// Checks that the context's end said this.
    pub(crate) fn verify(&self, context: &Context) -> Result<(), HeadError>
    where
        M: Stated,
    {
        let key = self.message.signer(context);
        match self.proof.proves(&self.message.statement(context), key) {
            true => Ok(()),
            false => Err(HeadError::Signature),
        }
    }
}

impl Proof {
    /// A signature of one statement's own.
    pub(crate) fn alone(statement: &Statement, key: &impl Sign) -> Self {
        Self {
            signature: key.signature(&statement.bytes),
            shared: None,
        }
    }

    /// Bytes of the shortest proof.
    pub const MIN_LEN: usize = 1 + 64;
    /// Bytes of the longest.
    pub const MAX_LEN: usize = 1 + 1 + 16 + 6 * 32 + 64;

    pub(crate) fn proves(&self, statement: &Statement, key: &VerifyingKey) -> bool {
        let Some(shared) = &self.shared else {
            return verify(key, &statement.bytes, &self.signature);
        };
        let leaf = merkle::leaf(&shared.salt, &statement.bytes);
        let (index, count) = (usize::from(shared.index), usize::from(shared.count));
        merkle::root(&leaf, index, count, &shared.path).is_some_and(|root| {
            let bytes = batch_bytes(statement.kind, shared.count, &root);
            verify(key, &bytes, &self.signature)
        })
    }

    /// The proof's bytes: the batch's count; unless that is 1, index, salt and path; the
    /// signature.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::MAX_LEN);
        match &self.shared {
            None => out.push(1),
            Some(shared) => {
                out.extend_from_slice(&[shared.count, shared.index]);
                out.extend_from_slice(&shared.salt);
                out.extend_from_slice(shared.path.as_flattened());
            }
        }
        out.extend_from_slice(&self.signature);
        out
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, HeadError> {
        let count = reader.u8()?;
        let shared = match usize::from(count) {
            1 => None,
            2..=MAX_LEAVES => {
                let index = reader.u8()?;
                if index >= count {
                    return Err(HeadError::Malformed);
                }
                let salt = reader.array()?;
                let depth = merkle::depth(index.into(), count.into());
                let path = (0..depth)
                    .map(|_| reader.array())
                    .collect::<Result<_, _>>()?;
                Some(Shared {
                    index,
                    count,
                    salt,
                    path,
                })
            }
            _ => return Err(HeadError::Malformed),
        };
        Ok(Self {
            signature: reader.array()?,
            shared,
        })
    }

    /// Reads a proof that is all of the bytes.
    ///
    /// # Errors
    /// [`HeadError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HeadError> {
        let mut reader = Reader::new(bytes);
        let proof = Self::read(&mut reader)?;
        reader.end()?;
        Ok(proof)
    }
}

fn batch_bytes(kind: StatementKind, count: u8, root: &Node) -> Vec<u8> {
    join(LABEL_BATCH, &[&[kind as u8], &[count], root])
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;
    use crate::v2::{suite::Suite, testing::binding};

    struct Said(u8);

    impl Stated for Said {
        fn statement(&self, context: &Context) -> Statement {
            let peer = &context.binding().producer;
            Statement::new(StatementKind::Ticket, b"test", context, peer, &[&[self.0]])
        }

        fn signer<'a>(&self, context: &'a Context) -> &'a VerifyingKey {
            &context.binding().consumer.key
        }
    }

    #[test]
    fn a_batch_of_any_size_proves_each_and_nothing_else() {
        let context = Context::new(binding(Suite::X25519ChaCha20Poly1305));
        let key = SigningKey::from_bytes(&[1; 32]);
        let mut rng = ChaCha20Rng::from_seed([3; 32]);
        for count in 1..=MAX_LEAVES as u8 {
            let batch = (0..count)
                .map(|n| Unsigned::new(Said(n), &context))
                .collect();
            let signed = Unsigned::sign_all(batch, &key, &mut rng).unwrap();
            for (n, one) in signed.iter().enumerate() {
                assert_eq!(one.message.0, n as u8);
                assert_eq!(one.verify(&context), Ok(()));
                let bytes = one.proof.to_bytes();
                assert!(bytes.len() <= Proof::MAX_LEN);
                let proof = Proof::from_bytes(&bytes).unwrap();
                assert_eq!(proof, one.proof);
                let other = Signed {
                    message: Said(count),
                    proof,
                };
                assert_eq!(other.verify(&context), Err(HeadError::Signature));
            }
        }
    }

    #[test]
    fn a_batch_is_one_peers() {
        let context = Context::new(binding(Suite::X25519ChaCha20Poly1305));
        let mut elsewhere = binding(Suite::X25519ChaCha20Poly1305);
        elsewhere.producer.endpoint[0] ^= 1;
        let elsewhere = Context::new(elsewhere);
        let key = SigningKey::from_bytes(&[1; 32]);
        let mut rng = ChaCha20Rng::from_seed([3; 32]);
        let mut sign = |batch: Vec<Unsigned<Said>>| Unsigned::sign_all(batch, &key, &mut rng).err();
        let mixed = vec![
            Unsigned::new(Said(1), &context),
            Unsigned::new(Said(2), &elsewhere),
        ];
        assert_eq!(sign(mixed), Some(BatchError::Peers));
        assert_eq!(sign(Vec::new()), Some(BatchError::Count));
        let many = (0..65).map(|n| Unsigned::new(Said(n), &context)).collect();
        assert_eq!(sign(many), Some(BatchError::Count));
    }
}
