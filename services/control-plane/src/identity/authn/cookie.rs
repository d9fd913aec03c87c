//! Cookies of this host that scripts cannot read.

use axum::http::request::Parts;
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use time::Duration;

use crate::identity::token::{self, Kind, Token};

/// The session's cookie. The prefix has browsers take it over TLS and for this
/// host and all paths only.
pub const SESSION: &str = "__Host-armour-session";

/// The session cookie's token, if the request has one.
pub fn session(parts: &Parts) -> Option<Token> {
    token::parse(&value(parts, SESSION)?).filter(|token| token.kind == Kind::Session)
}

/// A cookie's value.
pub fn value(parts: &Parts, name: &str) -> Option<String> {
    let jar = CookieJar::from_headers(&parts.headers);
    jar.get(name).map(|cookie| cookie.value().to_owned())
}

/// A cookie for this host that lasts so many seconds.
pub fn set(name: &'static str, value: String, seconds: i64) -> Cookie<'static> {
    Cookie::build((name, value))
        .path("/")
        .max_age(Duration::seconds(seconds))
        .secure(true)
        .http_only(true)
        // The provider's redirect back is a navigation from another site.
        .same_site(SameSite::Lax)
        .build()
}

/// Erases a cookie.
pub fn erase(name: &'static str) -> Cookie<'static> {
    set(name, String::new(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_and_other_hosts_do_not_see_a_cookie() {
        let kept = set(SESSION, "a-b_c".into(), 600).encoded().to_string();
        let mut parts: Vec<&str> = kept.split("; ").collect();
        assert_eq!(parts.remove(0), "__Host-armour-session=a-b_c");
        parts.sort_unstable();
        assert_eq!(
            parts,
            [
                "HttpOnly",
                "Max-Age=600",
                "Path=/",
                "SameSite=Lax",
                "Secure"
            ]
        );
        assert!(erase(SESSION).encoded().to_string().contains("Max-Age=0"));
    }
}
