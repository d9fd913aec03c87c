//! DPoP proofs (RFC 9449, section 4): whoever calls shows that they hold the key
//! that an access token is bound to, anew with each call.

use armour_api::ProblemType;
use armour_storage::Standing;
use axum::http::{Method, header, request::Parts};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Duration, Utc};
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, ThumbprintHash},
};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use url::Url;
use uuid::Uuid;

use super::{nonce, proof_consumer::ProofUse, state::Authn};
use crate::http::problem::{ApiError, ApiResult};

/// How far an endpoint's clock may be off without a nonce, in seconds.
const LEEWAY: i64 = 60;

/// A proof that has been checked, but not yet spent.
pub struct Proof {
    /// The key's thumbprint (RFC 7638), as in `cnf.jkt`.
    pub thumbprint: String,
    /// The Ed25519 public key, base64url.
    pub key: String,
    /// What to remember, so that it is taken once only.
    pub hash: [u8; 32],
    /// Until when.
    pub remember_until: DateTime<Utc>,
}

#[derive(Deserialize)]
struct Claims {
    jti: String,
    htm: String,
    htu: String,
    iat: i64,
    ath: Option<String>,
    nonce: Option<String>,
}

/// Checks the request's proof; with an access token also that it is for that.
///
/// # Errors
/// 401 `invalid-dpop-proof`, with what is wrong; `use-dpop-nonce` if it would be
/// right with the nonce that the answer offers.
pub fn check(parts: &Parts, authn: &Authn, access_token: Option<&str>) -> ApiResult<Proof> {
    let mut given = parts.headers.get_all("dpop").iter();
    let (Some(text), None) = (given.next(), given.next()) else {
        return Err(invalid("exactly one DPoP header is needed"));
    };
    let text = text.to_str().map_err(|_| invalid("not a token"))?;
    let header = jsonwebtoken::decode_header(text).map_err(|_| invalid("not a token"))?;
    if header.typ.as_deref() != Some("dpop+jwt") || header.alg != Algorithm::EdDSA {
        return Err(invalid("typ must be dpop+jwt and alg EdDSA"));
    }
    let jwk = header.jwk.ok_or_else(|| invalid("no key in the header"))?;
    let key = ed25519(&jwk).ok_or_else(|| invalid("the key must be an Ed25519 public key"))?;
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.validate_exp = false;
    validation.required_spec_claims.clear();
    let decoding = DecodingKey::from_ed_components(&key).map_err(|_| invalid("the key"))?;
    let claims = jsonwebtoken::decode::<Claims>(text, &decoding, &validation)
        .map_err(|_| invalid("the signature or the claims"))?
        .claims;
    if claims.jti.is_empty() || claims.jti.len() > 256 {
        return Err(invalid("jti must have 1 to 256 characters"));
    }
    // A HEAD is a GET without its body, and not what was signed.
    if claims.htm != parts.method.as_str() || parts.method == Method::HEAD {
        return Err(invalid("htm is not this request's method"));
    }
    if !is_here(&claims.htu, parts, &authn.addresses) {
        return Err(invalid("htu is not this request's address"));
    }
    let remember_until = fresh_until(authn, &claims)?;
    let expected = access_token.map(|token| URL_SAFE_NO_PAD.encode(Sha256::digest(token)));
    if let Some(expected) = expected
        && !bool::from(
            expected
                .as_bytes()
                .ct_eq(claims.ath.unwrap_or_default().as_bytes()),
        )
    {
        return Err(invalid("ath is not the access token's hash"));
    }
    let thumbprint = jwk
        .thumbprint(ThumbprintHash::SHA256)
        .map_err(|_| invalid("the key"))?;
    let hash = Sha256::new()
        .chain_update(thumbprint.as_bytes())
        .chain_update([0])
        .chain_update(claims.jti.as_bytes())
        .finalize()
        .into();
    Ok(Proof {
        thumbprint,
        key,
        hash,
        remember_until,
    })
}

/// Takes a proof, which works once for all replicas; also says what the endpoint is that an
/// access token names.
///
/// # Errors
/// 401 if it was taken before.
pub async fn consume(
    authn: &Authn,
    tenant: Uuid,
    proof: &Proof,
    endpoint: Option<Uuid>,
) -> ApiResult<Option<Standing>> {
    let request = ProofUse {
        hash: proof.hash,
        until: proof.remember_until,
        endpoint,
    };
    let taken = authn.proofs.submit(tenant, request).await?;
    match taken.first {
        true => Ok(taken.standing),
        false => Err(invalid("it was used before")),
    }
}

/// Until when the proof could be used again. Fresh is what names a nonce of ours, or
/// without one was made within a minute of our time (section 11.1).
fn fresh_until(authn: &Authn, claims: &Claims) -> ApiResult<DateTime<Utc>> {
    let now = authn.now();
    let until = match &claims.nonce {
        Some(text) => nonce::check(authn.store.keyring(), text, now),
        None => {
            let age = now.timestamp().saturating_sub(claims.iat);
            (age.abs() <= LEEWAY).then(|| now + Duration::seconds(2 * LEEWAY + 1))
        }
    };
    until.ok_or_else(|| {
        ApiError::new(
            ProblemType::UseDpopNonce,
            "the DPoP proof is not fresh: make it anew with the nonce of this answer's DPoP-Nonce",
        )
        .with_challenge("DPoP algs=\"EdDSA\", error=\"use_dpop_nonce\"")
    })
}

/// 401: the proof does not prove it (RFC 9449, section 7.1).
pub fn invalid(detail: &str) -> ApiError {
    ApiError::new(
        ProblemType::InvalidDpopProof,
        format!("the DPoP proof is not valid: {detail}"),
    )
    .with_challenge("DPoP algs=\"EdDSA\", error=\"invalid_dpop_proof\"")
}

fn ed25519(jwk: &Jwk) -> Option<String> {
    match &jwk.algorithm {
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            Some(pair.x.clone())
        }
        _ => None,
    }
}

/// Whether `htu` names this request (section 4.3): path, and one of the addresses that the
/// service is reached at. What the request itself calls its host is whatever the caller wrote:
/// it counts only where no address was given.
fn is_here(htu: &str, parts: &Parts, addresses: &[Url]) -> bool {
    let Ok(url) = Url::parse(htu) else {
        return false;
    };
    let authority = |url: &Url| {
        let host = url.host_str()?.to_owned();
        Some((host, url.port_or_known_default()?))
    };
    let Some(named) = authority(&url) else {
        return false;
    };
    let here = match addresses {
        // The scheme is the proxy's in front, and not known here.
        [] => {
            let host = parts.headers.get(header::HOST);
            let host = host.and_then(|host| host.to_str().ok());
            let host = host.or_else(|| parts.uri.authority().map(|authority| authority.as_str()));
            let host =
                host.and_then(|host| Url::parse(&format!("{}://{host}/", url.scheme())).ok());
            host.as_ref().and_then(authority).as_ref() == Some(&named)
        }
        given => given
            .iter()
            .any(|here| here.scheme() == url.scheme() && authority(here).as_ref() == Some(&named)),
    };
    here && url.path() == parts.uri.path()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m10_a_proof_is_for_an_address_of_ours_whatever_the_request_calls_its_host() {
        let request = |host: &str| {
            let request = axum::http::Request::post("/v1/endpoint/token");
            let request = request.header(header::HOST, host).body(());
            request.expect("a request").into_parts().0
        };
        let addresses = ["https://armour.example", "http://armour.ns.svc:7100"];
        let addresses = addresses.map(|address| Url::parse(address).expect("a URL"));
        let takes = |htu: &str, host: &str| is_here(htu, &request(host), &addresses);
        for host in ["armour.example", "evil.example", "10.0.0.1:7100"] {
            assert!(takes("https://armour.example/v1/endpoint/token", host));
            assert!(takes("https://armour.example:443/v1/endpoint/token", host));
            assert!(takes("http://armour.ns.svc:7100/v1/endpoint/token", host));
            for other in [
                "https://evil.example/v1/endpoint/token",
                "http://armour.example/v1/endpoint/token",
                "https://armour.example:8443/v1/endpoint/token",
                "http://armour.ns.svc/v1/endpoint/token",
                "https://armour.example/v1/endpoint",
                "/v1/endpoint/token",
                "data:x",
            ] {
                assert!(!takes(other, host), "{other} at {host}");
            }
        }
        // Where none is given the request's own is all there is.
        let htu = "https://a.example/v1/endpoint/token";
        assert!(is_here(htu, &request("a.example"), &[]));
        assert!(!is_here(htu, &request("b.example"), &[]));
    }
}
