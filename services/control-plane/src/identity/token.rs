//! Bearer tokens that name their tenant, so that it is known before any row is
//! read: `armour_<kind>_<tenant>_<id>_<secret>`, all hexadecimal.

use armour_storage::Tx;
use sha2::{Digest, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// API calls.
    Api,
    /// One enrolment.
    Enrolment,
    /// A person's session, in a cookie.
    Session,
}

/// A token, read. Its secret is only ever compared by hash.
pub struct Token {
    /// What it is for.
    pub kind: Kind,
    /// Whose it is.
    pub tenant: Uuid,
    /// Which it is.
    pub id: Uuid,
    /// SHA-256 of the whole token.
    pub hash: [u8; 32],
}

/// Makes a token of the transaction's tenant; returns its text, to be shown once, and
/// what to store.
pub fn mint(kind: Kind, tx: &Tx) -> (String, Token) {
    let mut secret = Zeroizing::new([0u8; 32]);
    tx.random().fill(&mut *secret);
    let (tenant, id) = (tx.tenant_id(), tx.new_id());
    let text = format!(
        "armour_{}_{}_{}_{}",
        kind.word(),
        tenant.simple(),
        id.simple(),
        hex::encode(*secret)
    );
    let hash = Sha256::digest(text.as_bytes()).into();
    (
        text,
        Token {
            kind,
            tenant,
            id,
            hash,
        },
    )
}

/// Reads a token's text; `None` if it has another form.
pub fn parse(text: &str) -> Option<Token> {
    let mut parts = text.strip_prefix("armour_")?.split('_');
    let word = parts.next()?;
    let kind = [Kind::Api, Kind::Enrolment, Kind::Session]
        .into_iter()
        .find(|kind| kind.word() == word)?;
    let tenant = Uuid::try_parse(parts.next()?).ok()?;
    let id = Uuid::try_parse(parts.next()?).ok()?;
    let secret = parts.next()?;
    (secret.len() == 64 && parts.next().is_none()).then(|| Token {
        kind,
        tenant,
        id,
        hash: Sha256::digest(text.as_bytes()).into(),
    })
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Api => "op",
            Self::Enrolment => "enrol",
            Self::Session => "sess",
        }
    }
}
