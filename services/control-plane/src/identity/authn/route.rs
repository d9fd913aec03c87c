//! The route that a request is for.

use armour_api::AccessRole;
use axum::{
    extract::MatchedPath,
    http::{Method, request::Parts},
};

use crate::identity::authz;

/// Method and path of the route that matched.
pub struct Route {
    method: Method,
    path: String,
}

impl Route {
    /// The route of a request.
    pub fn of(parts: &Parts) -> Self {
        let path = parts.extensions.get::<MatchedPath>();
        Self {
            method: parts.method.clone(),
            path: path.map_or_else(String::new, |path| path.as_str().to_owned()),
        }
    }

    /// Whether calls of it change nothing.
    pub fn is_safe(&self) -> bool {
        self.method.is_safe()
    }

    /// Whether a role may call it.
    pub fn allows(&self, role: AccessRole) -> bool {
        authz::allows(role, self.method.as_str(), &self.path)
    }
}

impl std::fmt::Display for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}
