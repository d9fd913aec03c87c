//! The first redirect: to the issuer.

use std::sync::Arc;

use armour_api::ProblemType;
use axum::{extract::State, http::request::Parts, response::Response};
use axum_extra::extract::CookieJar;
use serde::Deserialize;
use uuid::Uuid;

use super::{
    browser::{for_people, redirect},
    flow_cookie::FlowCookie,
};
use crate::{
    http::{
        extract::Params,
        problem::{ApiError, ApiResult},
    },
    identity::oidc::{Oidc, login},
};

/// Begins to sign in: sends the browser to the issuer.
#[utoipa::path(get, path = "/v1/auth/login", tag = "people", params(Login), security(()),
    extensions(("x-problems" = json!([
        ProblemType::Csrf, ProblemType::NotFound, ProblemType::IssuerUnreachable
    ]))),
    responses((status = 303, description = "To the issuer.")))]
pub(super) async fn login(
    State(oidc): State<Arc<Oidc>>,
    parts: Parts,
    Params(ask): Params<Login>,
) -> ApiResult<Response> {
    let begun = match check_page(&parts) {
        Ok(()) => begin(&oidc, &parts, ask).await,
        Err(error) => Err(error),
    };
    begun.or_else(|error| for_people(&parts, None, error))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Login {
    /// The tenant.
    tenant: Uuid,
    /// The issuer to sign in with.
    issuer: Uuid,
    /// The console's page to come back to, a path of this host; `/` if absent.
    return_to: Option<String>,
}

async fn begin(oidc: &Oidc, parts: &Parts, ask: Login) -> ApiResult<Response> {
    let return_to = ask.return_to.unwrap_or_else(|| "/".into());
    check_return(&return_to)?;
    let issuer = oidc.people_issuer(ask.tenant, ask.issuer).await?;
    let (url, flow) = login::begin(oidc, ask.tenant, &issuer, return_to).await?;
    let sealed = flow.seal(&oidc.store).await?;
    let others = FlowCookie::giving_way(parts, &oidc.store).into_iter();
    let cookies = others.fold(CookieJar::new(), |jar, other| jar.add(other.erase()));
    let kept = FlowCookie::of(flow.state()).set(sealed);
    redirect(url.as_str(), cookies.add(kept))
}

/// Only the console's own page begins a sign-in: another site's would lead people into the
/// tenant that it chooses. Browsers say where a call comes from (Fetch Metadata).
fn check_page(parts: &Parts) -> ApiResult<()> {
    let site = parts.headers.get("sec-fetch-site");
    if site.is_some_and(|site| site == "same-origin") {
        return Ok(());
    }
    Err(ApiError::new(
        ProblemType::Csrf,
        "a sign-in begins from the console's own page: open the console and choose there",
    ))
}

/// Only a path of this host: anything else would make us redirect to strangers.
fn check_return(path: &str) -> ApiResult<()> {
    let plain = path.len() <= 500
        && path.starts_with('/')
        && !path.starts_with("//")
        && path
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    match plain {
        true => Ok(()),
        false => Err(ApiError::invalid("return_to must be a path of this host")),
    }
}
