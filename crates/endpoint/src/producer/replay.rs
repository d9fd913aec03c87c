//! Requests that may be sent to an API once more, since the connection that they were sent on
//! had been kept and was closed without a byte of an answer (RFC 9110, section 9.2.2).

use std::io;

use armour_api::RetryPolicy;
use armour_protocol::v2::proxy::MAX_WHOLE;
use axum::body::Body;
use http::Request;
use http_body::Body as _;
use http_body_util::BodyExt;

/// A second copy of a request that is whole, and whose method is safe, or idempotent where its
/// pair's policy lets those run twice.
pub async fn copy(request: &mut Request<Body>, retry: RetryPolicy) -> Option<Request<Body>> {
    let method = request.method();
    let may_run_twice = match retry {
        RetryPolicy::Safe => method.is_safe(),
        RetryPolicy::Idempotent => method.is_idempotent(),
    };
    let length = request.body().size_hint().exact();
    if !may_run_twice || length.is_none_or(|length| length > MAX_WHOLE as u64) {
        return None;
    }
    let body = std::mem::take(request.body_mut());
    let Ok(content) = body.collect().await else {
        // It has broken, and must not be taken for one that is empty.
        *request.body_mut() = Body::from_stream(futures::stream::once(async {
            Err::<bytes::Bytes, _>(io::Error::other("the request was cut short"))
        }));
        return None;
    };
    let content = content.to_bytes();
    *request.body_mut() = Body::from(content.clone());
    let mut copy = Request::new(Body::from(content));
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

/// Whether a connection was closed before a response had come whole. If nothing of one has
/// come, that is what an API does that has kept it for as long as it keeps any, though it has
/// seen nothing of the request.
pub fn was_closed(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error);
    let cause = cause.and_then(|cause| cause.downcast_ref::<io::Error>());
    error.is_incomplete_message()
        || error.is_closed()
        || cause.is_some_and(|cause| {
            matches!(
                cause.kind(),
                io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whole_requests_that_may_run_twice_are_copied_and_no_others() {
        let (safe, idempotent) = (RetryPolicy::Safe, RetryPolicy::Idempotent);
        for (method, body, retry, again) in [
            ("GET", Body::empty(), safe, true),
            ("PUT", Body::from("stock"), idempotent, true),
            ("PUT", Body::from("stock"), safe, false),
            ("DELETE", Body::empty(), idempotent, true),
            ("DELETE", Body::empty(), safe, false),
            ("POST", Body::empty(), idempotent, false),
            ("PATCH", Body::from("stock"), idempotent, false),
            ("PUT", Body::from(vec![0; MAX_WHOLE + 1]), idempotent, false),
        ] {
            let mut request = Request::builder().method(method).uri("/a");
            request = request.header("x-a", "1");
            let mut request = request.body(body).unwrap();
            let copied = copy(&mut request, retry).await;
            assert_eq!(copied.is_some(), again, "{method} {retry:?}");
            let Some(copied) = copied else { continue };
            assert_eq!(copied.headers(), request.headers());
            let [one, two] = [copied, request].map(|one| one.into_body().collect());
            let (one, two) = tokio::join!(one, two);
            assert_eq!(one.unwrap().to_bytes(), two.unwrap().to_bytes());
        }
    }
}
