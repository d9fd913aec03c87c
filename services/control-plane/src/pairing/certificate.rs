//! Parties' certificates of their endpoints' keys.

use armour_api::{Endpoint, Role, SetCertificate};
use armour_protocol::v2::identity::certificate::{Certificate, Role as CertifiedRole, Subject};
use armour_storage::{PairingAction, Tx};
use axum::Json as Answer;
use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

use crate::{
    http::{
        extract::{Id, Json},
        problem::{ApiError, ApiResult},
    },
    identity::authn::Member,
};

/// Gives an endpoint's peers its party's certificate, in place of an earlier one; the same one
/// again changes nothing. Whether the party signed it is for those to check that pin the
/// party's key.
#[utoipa::path(put, path = "/v1/endpoints/{id}/certificate", tag = "endpoints",
    params(("id" = uuid::Uuid, Path)), request_body = SetCertificate,
    responses((status = 200, body = Endpoint)))]
pub(super) async fn set_certificate(
    mut member: Member,
    Id(id): Id,
    Json(given): Json<SetCertificate>,
) -> ApiResult<Answer<Endpoint>> {
    let bytes = STANDARD.decode(&given.certificate).ok();
    let read = bytes.and_then(|bytes| Some((Certificate::from_bytes(&bytes).ok()?, bytes)));
    let (certificate, bytes) =
        read.ok_or_else(|| ApiError::invalid("certificate is not one, in base64"))?;
    let actor = member.actor();
    let tx = &mut member.tx;
    let endpoint = tx.endpoints().find(id).await?;
    let differs = differences(tx, &endpoint, certificate.unverified());
    if !differs.is_empty() {
        return Err(ApiError::invalid(format!(
            "certificate is not of this endpoint: its {} differs",
            differs.join(", its ")
        )));
    }
    if tx.endpoints().certificate(id).await?.as_ref() == Some(&bytes) {
        return Ok(Answer(endpoint));
    }
    tx.endpoints().set_certificate(id, &bytes).await?;
    let sha256 = hex::encode(Sha256::digest(&bytes));
    let action = PairingAction::EndpointCertificate {
        id,
        sha256: &sha256,
    };
    tx.audit_log().append(&actor, action).await?;
    member.tx.commit().await?;
    Ok(Answer(endpoint))
}

/// What of an endpoint a certificate's subject does not share.
fn differences(tx: &Tx, endpoint: &Endpoint, subject: &Subject) -> Vec<&'static str> {
    let role = match endpoint.role {
        Role::Consumer => CertifiedRole::Consumer,
        Role::Producer => CertifiedRole::Producer,
    };
    let signing_key = STANDARD.encode(subject.signing_key.as_bytes());
    let same = [
        ("tenant", subject.tenant == *tx.tenant_id().as_bytes()),
        ("party", subject.party == *endpoint.party_id.as_bytes()),
        ("role", subject.role == role),
        ("id", subject.endpoint == *endpoint.id.as_bytes()),
        ("signing key", signing_key == endpoint.signing_key),
        (
            "KEM key",
            STANDARD.encode(subject.kem_key) == endpoint.kem_key,
        ),
    ];
    let differ = same.into_iter().filter(|(_, same)| !same);
    differ.map(|(name, _)| name).collect()
}
