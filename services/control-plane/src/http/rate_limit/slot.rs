//! What the response tells of the tenant's rate.

use std::sync::Arc;

use axum::{
    http::{HeaderValue, header},
    response::Response,
};
use parking_lot::Mutex;

/// A tenant's window, in seconds.
pub const WINDOW: i32 = 10;

/// Where whoever counts a request leaves what its response tells.
#[derive(Clone, Default)]
pub struct RateLimitSlot(Arc<Mutex<Option<RateState>>>);

impl RateLimitSlot {
    /// Leaves it.
    pub fn set(&self, state: RateState) {
        *self.0.lock() = Some(state);
    }

    /// Takes it, if there is any.
    pub fn take(&self) -> Option<RateState> {
        self.0.lock().take()
    }
}

/// A tenant's rate, as a request found it.
#[derive(Debug, Clone, Copy)]
pub struct RateState {
    /// Requests in a window.
    pub limit: u32,
    /// How many are left.
    pub left: u32,
    /// Seconds until the window ends.
    pub resets_in: u64,
    /// Whether this request was one too many.
    pub exceeded: bool,
}

impl RateState {
    /// The fields of draft-ietf-httpapi-ratelimit-headers.
    pub fn write(&self, response: &mut Response) {
        let headers = response.headers_mut();
        let fields = [
            (
                "ratelimit-policy",
                format!("\"tenant\";q={};w={WINDOW}", self.limit),
            ),
            (
                "ratelimit",
                format!("\"tenant\";r={};t={}", self.left, self.resets_in),
            ),
        ];
        for (name, text) in fields {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(name, value);
            }
        }
        if self.exceeded {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(self.resets_in));
        }
    }
}
