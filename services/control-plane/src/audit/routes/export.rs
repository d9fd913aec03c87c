//! The whole log, to be checked without this service.

use armour_api::{ExportEnd, ExportHeader, ExportedEntry, ProblemType, SignedHead};
use armour_storage::{SignedEntry, Store};
use armour_transparency::export::FORMAT;
use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderName, HeaderValue, header},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures::Stream;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    http::{
        extract::Params,
        problem::{ApiError, ApiResult},
    },
    identity::authn::Member,
};

/// Entries read at a time for an export.
const CHUNK: i64 = 500;

/// The log as NDJSON, to be checked without this service: see `docs/audit.md`.
/// `x-armour-entries` says how many entries there are, for a progress bar.
#[utoipa::path(get, path = "/v1/audit/export", tag = "audit", params(From),
    extensions(("x-problems" = json!([ProblemType::NotFound]))),
    responses((status = 200, content_type = "application/x-ndjson", body = String)))]
pub(super) async fn export(
    State(store): State<Store>,
    mut member: Member,
    Params(from): Params<From>,
) -> ApiResult<Streamed> {
    let tx = &mut member.tx;
    let first = tx
        .audit_log()
        .list_from(from.from.unwrap_or(1), 1)
        .await?
        .pop()
        .map(|signed| signed.entry.seq)
        .filter(|seq| *seq >= 1)
        .ok_or_else(|| ApiError::not_found("no entry from there on"))?;
    let head = tx.audit_tree().last_entrys_head().await?;
    let size = i64::try_from(head.size).map_err(ApiError::internal)?;
    let before = u64::try_from(first - 1).map_err(ApiError::internal)?;
    let header = ExportHeader {
        format: FORMAT.into(),
        tenant_id: tx.tenant_id(),
        log_key: STANDARD.encode(tx.audit_log().public_key().await?),
        rotations: tx.log_keys().rotations_since(0).await?,
        first: before + 1,
        frontier: STANDARD.encode(tx.audit_tree().frontier(before).await?),
    };
    let tenant = tx.tenant_id();
    drop(member);
    let body = Body::from_stream(lines(store, tenant, header, (first, size), head));
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-ndjson"),
        ),
        (
            HeaderName::from_static("x-armour-entries"),
            HeaderValue::from(size - first + 1),
        ),
    ];
    Ok((headers, body))
}

pub(super) type Streamed = ([(HeaderName, HeaderValue); 2], Body);

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct From {
    /// Number of the first entry; the first that is kept if absent.
    from: Option<i64>,
}

fn lines(
    store: Store,
    tenant: Uuid,
    header: ExportHeader,
    (first, size): (i64, i64),
    head: SignedHead,
) -> impl Stream<Item = anyhow::Result<Bytes>> {
    async_stream::try_stream! {
        yield line(&header)?;
        let mut next = first;
        while next <= size {
            let chunk = read(&store, tenant, next, CHUNK.min(size - next + 1)).await?;
            for signed in chunk {
                next = signed.entry.seq + 1;
                yield line(&ExportedEntry {
                    entry: signed.entry,
                    map_root: signed.map_root.map(|root| STANDARD.encode(root)),
                    signature: STANDARD.encode(signed.signature),
                })?;
            }
        }
        yield line(&ExportEnd { head })?;
    }
}

async fn read(
    store: &Store,
    tenant: Uuid,
    from: i64,
    limit: i64,
) -> anyhow::Result<Vec<SignedEntry>> {
    // No transaction is held while the reader takes its time.
    let chunk = store
        .tenant(tenant)
        .await?
        .audit_log()
        .list_from(from, limit)
        .await?;
    anyhow::ensure!(!chunk.is_empty(), "entries are gone from the log");
    Ok(chunk)
}

fn line(value: &impl Serialize) -> serde_json::Result<Bytes> {
    let mut bytes = serde_json::to_vec(value)?;
    bytes.push(b'\n');
    Ok(bytes.into())
}
