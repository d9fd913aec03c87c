//! What an API is given of a request's fields, and what is taken of its response's head.

use armour_listener::rules;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::wire::{length, problem_type::ProblemType};

const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Takes away what a caller may not say, and what is of HTTP/2 alone.
pub fn prepare(headers: &mut HeaderMap) {
    join_cookies(headers);
    headers.remove(FORWARDED_HOST);
}

/// Names the server, which is told by what host its caller named it.
pub fn name_host(headers: &mut HeaderMap, server: HeaderValue) {
    if let Some(named) = headers.insert(header::HOST, server)
        && rules::is_host(named.as_bytes())
    {
        headers.insert(FORWARDED_HOST, named);
    }
}

/// Whether a request whose content has this length, if that is known, tells no other one. The
/// field is sent as it is: an API that awaits content which never comes takes the next request
/// of its connection for it.
pub fn is_length_true(request: &HeaderMap, content: Option<u64>) -> bool {
    match length::told(request) {
        Ok(told) => told.is_none_or(|told| content.is_none_or(|content| content == told)),
        Err(length::NoLength) => false,
    }
}

/// Whether a response can be passed on as it is; else why not.
///
/// # Errors
/// What its caller is told.
pub fn check(response: &HeaderMap) -> Result<(), (ProblemType, &'static str)> {
    if !rules::is_chunked_at_most(response) {
        return Err((
            ProblemType::UpstreamResponse,
            "the upstream's response has a transfer coding other than chunked",
        ));
    }
    if !response.contains_key(header::TRANSFER_ENCODING) && length::told(response).is_err() {
        return Err((
            ProblemType::UpstreamResponse,
            "the upstream's response tells a Content-Length that is none, or more than one",
        ));
    }
    match rules::fits(response, 0) {
        true => Ok(()),
        false => Err(FIELDS_TOO_LARGE),
    }
}

/// Of a response with more fields than are passed on.
pub const FIELDS_TOO_LARGE: (ProblemType, &str) = (
    ProblemType::UpstreamResponse,
    "the upstream's response has header fields of more than 64 KiB, or more than 500",
);

/// HTTP/2 may send each cookie in a field of its own; everything else expects one
/// (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let cookies = headers.get_all(header::COOKIE).iter();
    let cookies: Vec<&[u8]> = cookies.map(HeaderValue::as_bytes).collect();
    if cookies.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        prepare(&mut headers);
        headers
    }

    fn forwarded(fields: &[(&'static str, &'static str)]) -> Option<HeaderValue> {
        let mut headers = prepared(fields);
        name_host(&mut headers, HeaderValue::from_static("api:8080"));
        assert_eq!(headers[header::HOST], "api:8080");
        headers.remove(FORWARDED_HOST)
    }

    #[test]
    fn cookies_of_several_fields_are_one() {
        let headers = prepared(&[("cookie", "a=b"), ("x-a", "1"), ("cookie", "c=d; e=f")]);
        assert_eq!(headers.get_all(header::COOKIE).iter().count(), 1);
        assert_eq!(headers[header::COOKIE], "a=b; c=d; e=f");
        assert_eq!(headers.len(), 2);
    }

    #[test]
    fn a_forwarded_host_is_the_callers_host_or_absent() {
        let forged = ("x-forwarded-host", "forged");
        let host = ("host", "shop.example:80");
        assert_eq!(forwarded(&[forged, host]).unwrap(), host.1);
        for bad in ["a b", "user:secret@shop.example", ""] {
            assert_eq!(forwarded(&[forged, forged, ("host", bad)]), None, "{bad}");
        }
        assert_eq!(forwarded(&[forged]), None);
        assert!(prepared(&[forged]).is_empty());
    }

    #[test]
    fn responses_that_cannot_be_passed_on_say_why() {
        let mut headers = HeaderMap::new();
        for _ in 0..rules::MAX_FIELDS {
            headers.append(header::SET_COOKIE, HeaderValue::from_static("a=b"));
        }
        assert!(check(&headers).is_ok());
        headers.append(header::SET_COOKIE, HeaderValue::from_static("a=b"));
        assert_eq!(check(&headers), Err(FIELDS_TOO_LARGE));
        let mut headers = HeaderMap::new();
        let coded = HeaderValue::from_static("gzip, chunked");
        headers.insert(header::TRANSFER_ENCODING, coded);
        assert!(check(&headers).is_err());
        let mut headers = HeaderMap::new();
        for length in ["4", "5"] {
            headers.append(header::CONTENT_LENGTH, HeaderValue::from_static(length));
        }
        assert!(check(&headers).is_err());
    }
}
