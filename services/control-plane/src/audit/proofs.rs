//! What the audit log proves to those who know an earlier head of it.

use armour_api::{EnrolProof, KeyProof, LogHead, LogKeyRotation, ProblemType, SignedHead};
use armour_storage::Tx;
use base64::{Engine, engine::general_purpose::STANDARD};
use uuid::Uuid;

use crate::http::problem::{ApiError, ApiResult};

/// The latest head, and how it follows from one that the caller knows.
///
/// # Errors
/// 409 `log-behind` if the log is shorter than what the caller knows of it.
pub async fn log_head(tx: &mut Tx, since: Option<u64>) -> ApiResult<LogHead> {
    let head = tx.audit_tree().latest_head().await?;
    let (log_key, rotations) = signed_by(tx, &head, since).await?;
    Ok(LogHead {
        log_key,
        rotations,
        consistency: consistent(tx, since, head.size).await?,
        head,
    })
}

/// What the audit log says of endpoints' keys and states, and how it follows from the head
/// that the caller knows.
///
/// # Errors
/// 409 `log-behind` if the log is shorter than what the caller knows of it.
pub async fn key_proof(tx: &mut Tx, known: Option<u64>, endpoints: &[Uuid]) -> ApiResult<KeyProof> {
    let (head, states) = tx.endpoint_map().latest(endpoints).await?;
    let mut keys = Vec::new();
    for endpoint in endpoints {
        let entry = tx.endpoints().enrolment_entry(*endpoint).await?;
        let inclusion = tx
            .audit_tree()
            .prove_inclusion(entry.seq, head.size)
            .await?;
        keys.push(EnrolProof { entry, inclusion });
    }
    let (_, rotations) = signed_by(tx, &head, known).await?;
    Ok(KeyProof {
        consistency: consistent(tx, known, head.size).await?,
        rotations,
        head,
        keys,
        states,
    })
}

/// The key that signed a head, and the rotations since a size that led to it; not one that came
/// after the head was read.
async fn signed_by(
    tx: &mut Tx,
    head: &SignedHead,
    since: Option<u64>,
) -> ApiResult<(String, Vec<LogKeyRotation>)> {
    let present = STANDARD.encode(tx.audit_log().public_key().await?);
    let mut rotations = tx.log_keys().rotations_since(since.unwrap_or(0)).await?;
    let signed = rotations.partition_point(|rotation| rotation.size < head.size);
    let key = rotations.get(signed).map(|later| later.old_key.clone());
    rotations.truncate(signed);
    Ok((key.unwrap_or(present), rotations))
}

/// Proof that the trees of two sizes begin alike, whichever is the earlier.
async fn consistent(tx: &mut Tx, known: Option<u64>, size: u64) -> ApiResult<Vec<String>> {
    let known = known.unwrap_or(size);
    if known > tx.audit_log().size().await? {
        return Err(ApiError::new(
            ProblemType::LogBehind,
            "the log is shorter than what the caller has seen of it",
        ));
    }
    Ok(tx
        .audit_tree()
        .prove_consistency(known.min(size), known.max(size))
        .await?)
}
