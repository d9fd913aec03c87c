//! The platform's administrator.

use std::sync::Arc;

use armour_api::AccessRole;
use axum::{
    extract::{FromRef, FromRequestParts},
    http::request::Parts,
};

use super::{
    authenticate::authenticate,
    credential::{bearer, forbidden, invalid},
    route::Route,
    state::Authn,
};
use crate::{
    http::problem::{ApiError, ApiResult},
    identity::token,
};

/// The platform's administrator.
pub struct Platform;

impl<S> FromRequestParts<S> for Platform
where
    S: Send + Sync,
    Arc<Authn>: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        let authn = &*Arc::<Authn>::from_ref(state);
        let route = Route::of(parts);
        let bearer = bearer(parts)?;
        if authn.is_platform(bearer.token()) {
            return match route.allows(AccessRole::PlatformAdmin) {
                true => Ok(Self),
                false => Err(forbidden()),
            };
        }
        // A tenant's token is told apart from none, and the attempt noted.
        match token::parse(bearer.token()) {
            Some(token) => {
                authenticate(parts, authn, token, &route).await?;
                Err(forbidden())
            }
            None => Err(invalid()),
        }
    }
}
