//! What HTTP asks of every request, whoever handles it. What fails is refused here with a
//! problem document (RFC 9457), alike on every listener.

use armour_api::Problem;
use axum::body::Body;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header,
    uri::Authority,
};

/// Most fields of a head.
pub const MAX_FIELDS: usize = 500;
/// Most bytes of a target and its fields.
pub const MAX_HEAD: usize = 64 * 1024;
/// Fields that are read in HTTP/1.1, so that a head beyond the limit is refused with a reason.
pub const FIELDS_READ: usize = 1024;
/// Bytes of fields that are read in HTTP/2, which counts 32 more for each.
pub const HEAD_READ: u32 = 256 * 1024;
/// What each field takes at most besides its name and value, however it is encoded.
const FIELD_OVERHEAD: usize = 8;

/// What a request broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Violation {
    kind: &'static str,
    status: StatusCode,
    detail: &'static str,
}

const TARGET: Violation = Violation {
    kind: "target",
    status: StatusCode::BAD_REQUEST,
    detail: "the target must be a path, an absolute URI, or * with OPTIONS",
};
const HOST: Violation = Violation {
    kind: "host",
    status: StatusCode::BAD_REQUEST,
    detail: "a request must name one valid host: one Host field in HTTP/1.1, and in HTTP/2 \
             none that differs from :authority",
};
const TRANSFER_CODING: Violation = Violation {
    kind: "transfer-coding",
    status: StatusCode::NOT_IMPLEMENTED,
    detail: "no transfer coding but chunked is understood; compress by Content-Encoding",
};
const FIELDS: Violation = Violation {
    kind: "fields-too-large",
    status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    detail: "target and header fields exceed 64 KiB or 500 fields; send fewer",
};

/// Checks a request's head.
///
/// # Errors
/// [`Violation`]: it is not to be handled.
pub fn check<B>(request: &Request<B>) -> Result<(), Violation> {
    let (uri, headers) = (request.uri(), request.headers());
    if !has_valid_target(request.method(), uri) {
        return Err(TARGET);
    }
    if !names_one_host(request.version(), uri, headers) {
        return Err(HOST);
    }
    if !is_chunked_at_most(headers) {
        return Err(TRANSFER_CODING);
    }
    let target = uri
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    match fits(headers, target) {
        true => Ok(()),
        false => Err(FIELDS),
    }
}

/// Whether fields, beside so many bytes of a target, are few and small enough to be passed on.
pub fn fits(headers: &HeaderMap, target: usize) -> bool {
    let fields = headers.iter();
    let bytes: usize = fields
        .map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD)
        .sum();
    headers.len() <= MAX_FIELDS && target + bytes <= MAX_HEAD
}

/// Whether a message has no transfer coding but `chunked`. Of others the name would be lost,
/// and the coded bytes taken for the content.
pub fn is_chunked_at_most(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let chunked = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"chunked");
    codings.next().is_none_or(chunked) && codings.next().is_none()
}

/// A host as it may be named to a server, with a port or without one, and without user
/// information (RFC 9110, section 7.2).
pub fn is_host(value: &[u8]) -> bool {
    let Ok(authority) = Authority::try_from(value) else {
        return false;
    };
    let Some(port) = authority.as_str().strip_prefix(authority.host()) else {
        return false;
    };
    if authority.host().is_empty() {
        return false;
    }
    let digits = port.strip_prefix(':').unwrap_or(port);
    digits.is_empty() || port.starts_with(':') && authority.port_u16().is_some()
}

/// An authority without its user information.
pub fn without_user_info(authority: &str) -> &str {
    authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host)
}

/// One of the forms of RFC 9112, section 3.2. That of an authority is for `CONNECT` alone,
/// the asterisk for `OPTIONS`.
fn has_valid_target(method: &Method, uri: &Uri) -> bool {
    match (uri.scheme(), uri.authority()) {
        (None, Some(_)) => method == Method::CONNECT,
        _ => uri.path() != "*" || method == Method::OPTIONS,
    }
}

fn names_one_host(version: Version, uri: &Uri, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (host, another) = (hosts.next(), hosts.next());
    if another.is_some() {
        return false;
    }
    let Some(host) = host.map(HeaderValue::as_bytes) else {
        return version != Version::HTTP_11;
    };
    let of_target = uri
        .authority()
        .map(|authority| authority.as_str().as_bytes());
    let differs = of_target.is_some_and(|authority| !authority.eq_ignore_ascii_case(host));
    if version == Version::HTTP_2 && differs {
        return false;
    }
    // Empty where the target has no authority (RFC 9110, section 7.2).
    host.is_empty() || is_host(host)
}

impl From<Violation> for Response<Body> {
    fn from(violation: Violation) -> Self {
        let status = violation.status;
        let problem = Problem::new(violation.kind, status.as_u16(), violation.detail);
        let document = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = Response::new(Body::from(document));
        *response.status_mut() = status;
        let media_type = HeaderValue::from_static(Problem::MEDIA_TYPE);
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, media_type);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(method: &str, uri: &str, fields: &[(&str, &str)]) -> Result<(), Violation> {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        check(&request.body(()).unwrap())
    }

    const X: (&str, &str) = ("host", "shop.example:8080");

    #[test]
    fn hosts_that_are_two_none_or_malformed_are_refused() {
        let host = |value| [("host", value)];
        assert_eq!(checked("GET", "/", &[X, X]), Err(HOST));
        assert_eq!(checked("GET", "/", &[]), Err(HOST));
        for bad in [
            "a b", "a/b", "u:p@a", "a:b", "a:99999", "a:1:2", "[::1", ":80",
        ] {
            assert_eq!(checked("GET", "/", &host(bad)), Err(HOST), "{bad}");
        }
        for good in [
            "",
            "a",
            "a:80",
            "a:",
            "[::1]:80",
            "xn--bcher-kva.example",
            "a_b",
        ] {
            assert_eq!(checked("GET", "/", &host(good)), Ok(()), "{good}");
        }
    }

    #[test]
    fn a_host_that_differs_from_the_authority_of_http_2_is_refused() {
        for (host, good) in [("A.example", true), ("b.example", false)] {
            let request = Request::builder().version(Version::HTTP_2);
            let request = request.uri("https://a.example/").header("host", host);
            assert_eq!(check(&request.body(()).unwrap()).is_ok(), good);
        }
    }

    #[test]
    fn targets_of_a_form_that_is_another_methods_are_refused() {
        assert_eq!(checked("OPTIONS", "*", &[X]), Ok(()));
        assert_eq!(checked("GET", "*", &[X]), Err(TARGET));
        assert_eq!(checked("GET", "shop.example:80", &[X]), Err(TARGET));
        assert_eq!(checked("CONNECT", "shop.example:80", &[X]), Ok(()));
        assert_eq!(checked("GET", "http://shop.example/a", &[X]), Ok(()));
    }

    #[test]
    fn transfer_codings_but_chunked_are_refused() {
        let coded = |values: &[&'static str]| {
            let codings = values.iter().map(|value| ("transfer-encoding", *value));
            let fields: Vec<_> = std::iter::once(X).chain(codings).collect();
            checked("POST", "/", &fields)
        };
        assert_eq!(coded(&["Chunked"]), Ok(()));
        for bad in [&["gzip, chunked"][..], &["gzip", "chunked"], &["identity"]] {
            assert_eq!(coded(bad), Err(TRANSFER_CODING), "{bad:?}");
        }
    }

    #[test]
    fn fields_are_taken_to_the_limit_and_refused_beyond_it() {
        let of = |count: usize, length: usize| {
            let value = "v".repeat(length);
            let many = std::iter::repeat_n(("x-name", value.as_str()), count - 1);
            let fields: Vec<_> = std::iter::once(X).chain(many).collect();
            checked("GET", "/", &fields)
        };
        assert_eq!(of(MAX_FIELDS, 1), Ok(()));
        assert_eq!(of(MAX_FIELDS + 1, 1), Err(FIELDS));
        assert_eq!(of(61, 1024), Ok(()));
        assert_eq!(of(66, 1024), Err(FIELDS));
    }
}
