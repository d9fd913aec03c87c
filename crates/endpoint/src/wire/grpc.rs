//! How gRPC says that a call broke off: by a status in trailers, as its description of HTTP/2
//! has it (gRPC over HTTP2, "Errors" and "HTTP2 Transport Mapping").

use h2::Reason;
use http::{HeaderMap, HeaderName, HeaderValue, header};

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Whether a response is one of gRPC. gRPC-Web, whose trailers are content, is another.
pub fn is_response(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let rest = kind
        .get(..16)
        .filter(|name| name.eq_ignore_ascii_case("application/grpc"))
        .map(|_| &kind[16..]);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';', ' ']))
}

/// The trailers of a response that its server reset by this code, or, without one, that broke
/// off on its way.
pub fn broken_off(reset: Option<Reason>) -> HeaderMap {
    let (status, message) = match reset {
        None => ("14", "the call broke off between its server and its caller"),
        Some(reason) => (status_of(reason), "the server reset the call"),
    };
    HeaderMap::from_iter([
        (STATUS, HeaderValue::from_static(status)),
        (MESSAGE, HeaderValue::from_static(message)),
    ])
}

fn status_of(reason: Reason) -> &'static str {
    match reason {
        Reason::CANCEL => "1",
        Reason::REFUSED_STREAM => "14",
        Reason::ENHANCE_YOUR_CALM => "8",
        Reason::INADEQUATE_SECURITY => "7",
        _ => "13",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_of_grpc_are_known_by_their_type() {
        for (kind, is) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("Application/gRPC; a=b", true),
            ("application/grpc-web+proto", false),
            ("application/json", false),
        ] {
            let fields = [(header::CONTENT_TYPE, HeaderValue::from_static(kind))];
            assert_eq!(is_response(&HeaderMap::from_iter(fields)), is, "{kind}");
        }
        assert!(!is_response(&HeaderMap::new()));
    }

    #[test]
    fn a_reset_is_told_by_the_status_that_grpc_gives_it() {
        for (reset, status) in [
            (Some(Reason::CANCEL), "1"),
            (Some(Reason::INTERNAL_ERROR), "13"),
            (Some(Reason::NO_ERROR), "13"),
            (Some(Reason::REFUSED_STREAM), "14"),
            (Some(Reason::ENHANCE_YOUR_CALM), "8"),
            (None, "14"),
        ] {
            assert_eq!(broken_off(reset)[STATUS], status);
        }
    }
}
