//! Cookies of this host that scripts cannot read.

use std::{borrow::Cow, collections::BTreeSet};

use axum::http::{header, request::Parts};
use axum_extra::extract::cookie::{Cookie, SameSite};
use time::Duration;

use crate::identity::token::{self, Kind, Token};

/// The session's cookie. The prefix has browsers take it over TLS and for this
/// host and all paths only.
pub const SESSION: &str = "__Host-armour-session";

/// The session cookie's token, if the request has one.
pub fn session(parts: &Parts) -> Option<Token> {
    token::parse(&value(parts, SESSION)?).filter(|token| token.kind == Kind::Session)
}

/// A cookie's value. Its name is compared as it came: browsers hold a name to its prefix
/// as it is sent, so one that only reads so once it is decoded may be any site's. Of two
/// of a name the first counts.
pub fn value(parts: &Parts, name: &str) -> Option<String> {
    let lines = parts.headers.get_all(header::COOKIE).iter();
    let texts = lines.filter_map(|line| line.to_str().ok());
    let mut cookies = texts.flat_map(Cookie::split_parse).flatten();
    let found = cookies.find(|cookie| cookie.name() == name)?;
    Some(found.value().to_owned())
}

/// The names of the cookies that begin so, each once, as they came.
pub fn names(parts: &Parts, prefix: &str) -> BTreeSet<String> {
    let lines = parts.headers.get_all(header::COOKIE).iter();
    let texts = lines.filter_map(|line| line.to_str().ok());
    let cookies = texts.flat_map(Cookie::split_parse).flatten();
    let found = cookies.filter(|cookie| cookie.name().starts_with(prefix));
    found.map(|cookie| cookie.name().to_owned()).collect()
}

/// A cookie for this host that lasts so many seconds.
pub fn set(name: impl Into<Cow<'static, str>>, value: String, seconds: i64) -> Cookie<'static> {
    Cookie::build((name.into(), value))
        .path("/")
        .max_age(Duration::seconds(seconds))
        .secure(true)
        .http_only(true)
        // The provider's redirect back is a navigation from another site.
        .same_site(SameSite::Lax)
        .build()
}

/// Erases a cookie.
pub fn erase(name: impl Into<Cow<'static, str>>) -> Cookie<'static> {
    set(name, String::new(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_only_decodes_to_a_cookies_is_another_sites() {
        let read = |lines: &[&str]| {
            let mut request = axum::http::Request::get("/");
            for line in lines {
                request = request.header(header::COOKIE, *line);
            }
            value(&request.body(()).unwrap().into_parts().0, SESSION)
        };
        let own = "a=1; __Host-armour-session=own";
        assert_eq!(read(&["%5F%5FHost-armour-session=planted"]), None);
        assert_eq!(
            read(&["__Host-armour-session=own; %5F%5FHost-armour-session=planted"]),
            Some("own".into())
        );
        // HTTP/2 may split them (RFC 9113, section 8.2.3). The first of a name counts.
        assert_eq!(
            read(&["b=2", own, "__Host-armour-session=later"]),
            Some("own".into())
        );
        assert_eq!(read(&["__Host-armour-sessions=1"]), None);
    }

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
