//! Workloads that enrol by a token of their platform's issuer: a Kubernetes
//! service account's, for example.

use armour_api::{IssuerKind, ProblemType, WorkloadRule};
use armour_storage::{Actor, IdentityAction, Urgency};
use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{claims, state::Oidc, text::printable};
use crate::{
    http::problem::{ApiError, ApiResult},
    identity::authn::denial::Attempt,
};

/// A workload that an issuer vouches for, and the rule that admits it.
pub struct Workload {
    /// Who vouches.
    pub issuer: Uuid,
    /// The workload, as the issuer names it.
    pub subject: String,
    /// What it may become.
    pub rule: WorkloadRule,
}

#[derive(Deserialize)]
struct Unchecked {
    iss: String,
}

/// Checks a workload's token against the tenant's issuers and their rules.
///
/// # Errors
/// 401 if the token is not valid here, 403 `not-admitted` if no rule fits, 502 if
/// the issuer cannot be asked.
pub async fn identify(oidc: &Oidc, tenant: Uuid, token: &str) -> ApiResult<Workload> {
    let unknown = || ApiError::unauthenticated("the token is of no issuer that is trusted here");
    // Says only which issuer's keys to check it with.
    let claimed =
        jsonwebtoken::dangerous::insecure_decode::<Unchecked>(token).map_err(|_| unknown())?;
    let mut tx = oidc.store.tenant_unproven(tenant, Urgency::Members).await?;
    let issuers = tx.issuers().list(Some(IssuerKind::Workload)).await?;
    drop(tx);
    let mut refused = unknown();
    for issuer in issuers {
        if issuer.url != claimed.claims.iss {
            continue;
        }
        // Several may be configured for the same URL with other audiences.
        let claims = match oidc.check(tenant, &issuer, token).await {
            Ok(claims) => claims,
            Err(error) => {
                refused = error;
                continue;
            }
        };
        if !claims.contains_key("exp") {
            return Err(ApiError::unauthenticated("the token never expires"));
        }
        let subject = claims
            .get("sub")
            .and_then(Value::as_str)
            .filter(|sub| sub.len() <= 255 && !sub.chars().any(char::is_control))
            .ok_or_else(unknown)?;
        let mut tx = oidc.store.tenant_unproven(tenant, Urgency::Members).await?;
        let rules = tx.workload_rules().list(issuer.id).await?;
        drop(tx);
        if let Some(rule) = rules.into_iter().find(|rule| fits(rule, subject, &claims)) {
            return Ok(Workload {
                issuer: issuer.id,
                subject: subject.to_owned(),
                rule,
            });
        }
        let actor = Actor::Workload {
            issuer: issuer.id,
            subject: printable(subject, 255),
        };
        let action = IdentityAction::AccessDeny {
            route: "POST /v1/enrol/workload",
            why: "no rule fits",
        };
        oidc.denials
            .write(tenant, Attempt::Workload, &actor, action)
            .await;
        return Err(ApiError::new(
            ProblemType::NotAdmitted,
            "the workload is known, but no rule lets it enrol",
        ));
    }
    Err(refused)
}

fn fits(rule: &WorkloadRule, subject: &str, given: &Map<String, Value>) -> bool {
    matches(&rule.subject, subject)
        && rule
            .claims
            .iter()
            .all(|(name, value)| claims::text(given, name).is_some_and(|is| is == *value))
}

/// Whether a text fits a pattern in which `*` stands for any run of characters.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_runs() {
        let sub = "system:serviceaccount:shop:agent";
        for pattern in [
            sub,
            "system:serviceaccount:shop:*",
            "*:agent",
            "*",
            "sys*:shop:*",
            "*a*a*t",
        ] {
            assert!(matches(pattern, sub), "{pattern}");
        }
        for pattern in [
            "",
            "system",
            "system:serviceaccount:shop:agent2",
            "*:agents",
            "sys*:shop",
            "*b:c*",
        ] {
            assert!(!matches(pattern, sub), "{pattern}");
        }
        assert!(!matches("ab*ba", "aba"));
    }
}
