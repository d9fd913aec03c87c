//! A person's groups, and the role that they give.

use armour_api::{AccessRole, Issuer};
use openidconnect::{AccessToken, SubjectIdentifier, UserInfoClaims, core::CoreGenderClaim};
use serde_json::{Map, Value};

use super::{
    claims,
    client::{Client, MoreClaims},
    refusal::{NotSignedIn, SignInError, failed},
    text::{printable, reason},
};
use crate::platform::egress::Egress;

/// Most characters of what the audit log is told of a person's claims.
const MAX_TOLD: usize = 300;

/// The most powerful role that the person's groups have: those of the ID token, or, if it
/// has no such claim, those that the issuer tells at its userinfo endpoint.
///
/// # Errors
/// 403 `not-admitted` if no group has a role, 502 if the issuer cannot be asked.
pub async fn role(
    egress: &Egress,
    issuer: &Issuer,
    client: &Client,
    access_token: &AccessToken,
    subject: &SubjectIdentifier,
    of_token: &Map<String, Value>,
) -> Result<AccessRole, NotSignedIn> {
    let name = &issuer.groups_claim;
    if let Some(groups) = claims::texts(of_token, name) {
        let role = best(issuer, &groups);
        return role.ok_or_else(|| not_admitted(issuer, of_token, Some(&groups)).into());
    }
    if client.user_info_url().is_none() {
        return Err(not_admitted(issuer, of_token, None).into());
    }
    // The answer has to be about the same person (OpenID Connect Core, section 5.3.2).
    let asked = client
        .user_info(access_token.clone(), Some(subject.clone()))
        .map_err(|error| failed(reason(&error)))?;
    let told: UserInfoClaims<MoreClaims, CoreGenderClaim> = asked
        .request_async(egress)
        .await
        .map_err(|error| failed(format!("at userinfo: {}", reason(&error))))?;
    let told = &told.additional_claims().0;
    let groups = claims::texts(told, name);
    let role = groups.as_ref().and_then(|groups| best(issuer, groups));
    role.ok_or_else(|| {
        let mut all = of_token.clone();
        all.extend(told.clone());
        not_admitted(issuer, &all, groups.as_deref()).into()
    })
}

fn best(issuer: &Issuer, groups: &[&str]) -> Option<AccessRole> {
    let roles = groups
        .iter()
        .filter_map(|group| issuer.role_map.get(*group));
    roles.copied().max()
}

/// Why nobody is let in: for an administrator, with the names of the claims that came.
fn not_admitted(
    issuer: &Issuer,
    claims: &Map<String, Value>,
    groups: Option<&[&str]>,
) -> SignInError {
    let name = &issuer.groups_claim;
    let elsewhere = claims
        .get("_claim_names")
        .and_then(|names| names.get(name))
        .is_some();
    let why = match groups {
        Some(groups) => format!("none of the {} groups in {name} has a role", groups.len()),
        None if elsewhere => format!(
            "the issuer names too many groups to tell them in {name} (_claim_names): \
             have it tell only groups that are assigned to the client"
        ),
        None => format!("no claim {name}, neither in the ID token nor at userinfo"),
    };
    let came: Vec<&str> = claims.keys().map(String::as_str).collect();
    let why = format!("{why}; claims that came: {}", came.join(", "));
    SignInError::NotAdmitted(printable(&why, MAX_TOLD))
}
