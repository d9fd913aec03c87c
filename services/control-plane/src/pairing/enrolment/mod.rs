//! `/v1/enrolment-tokens` and `/v1/enrol`: how an agent becomes an endpoint.

mod admission;
mod enrol;
mod enrol_workload;
mod tokens;

use std::sync::Arc;

use axum::extract::FromRef;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::identity::{authn::Authn, oidc::Oidc};

pub use self::admission::check_address;

/// The routes.
pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<Authn>: FromRef<S>,
    Arc<Oidc>: FromRef<S>,
{
    OpenApiRouter::new()
        .routes(routes!(tokens::create, tokens::list))
        .routes(routes!(enrol::enrol))
        .routes(routes!(enrol_workload::enrol_workload))
}
