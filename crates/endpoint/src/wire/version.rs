//! Which version of the protocol agents speak with each other, and what is said between two that
//! have none in common. What a peer says of its version is nobody's word: it names for people
//! which side is to be upgraded, and decides nothing.

use armour_protocol::v2::VERSION;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue};

use super::{problem::Refusal, problem_type::ProblemType};
use crate::other_release;

/// The field by which a producer's agent names the version that it speaks, where it was asked for
/// another.
const FIELD: &str = "armour-protocol";

/// The version that this agent speaks with its peers.
pub fn own() -> u8 {
    other_release::protocol(VERSION)
}

/// The path at which that version serves what this one serves at `path`.
pub fn path(path: &'static str) -> String {
    path.replacen(&prefix(VERSION), &prefix(own()), 1)
}

fn prefix(version: u8) -> String {
    format!("/armour/v{version}/")
}

/// The version that whoever calls this path speaks.
fn of_path(path: &str) -> Option<u8> {
    let (version, _) = path.strip_prefix("/armour/v")?.split_once('/')?;
    version.parse().ok()
}

/// What a producer's agent answers at a path that is of another version; none of any other path.
pub fn refuse(path: &str) -> Option<Response> {
    let theirs = of_path(path).filter(|theirs| *theirs != own())?;
    let side = if theirs > own() {
        "producer"
    } else {
        "consumer"
    };
    let detail = format!(
        "the consumer's agent speaks version {theirs} of the protocol, the producer's version {}: \
         upgrade the {side}'s agent",
        own()
    );
    let mut response = Refusal::new(ProblemType::ProtocolVersion, detail).into_response();
    let field = HeaderValue::from(u16::from(own()));
    response.headers_mut().insert(FIELD, field);
    Some(response)
}

/// The version that a producer's agent says that it speaks, if that is another than this one's.
pub fn told(headers: &HeaderMap) -> Option<u8> {
    let told: u8 = headers.get(FIELD)?.to_str().ok()?.parse().ok()?;
    Some(told).filter(|told| *told != own())
}

/// What a consumer's caller is told whose call has no way but to a producer's agent of this
/// version.
pub fn refusal(theirs: u8) -> Refusal {
    let side = if theirs > own() {
        "consumer"
    } else {
        "producer"
    };
    let detail = format!(
        "the producer's agent says that it speaks version {theirs} of the protocol, the consumer's \
         speaks version {}: upgrade the {side}'s agent",
        own()
    );
    Refusal::new(ProblemType::ProtocolVersion, detail)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::wire::message::{EXCHANGE_PATH, REKEY_PATH};

    #[tokio::test]
    async fn each_end_says_which_of_the_two_is_behind() {
        for (theirs, producer_says, consumer_says) in [
            (VERSION + 1, "producer", "consumer"),
            (1, "consumer", "producer"),
        ] {
            let answer = refuse(&format!("/armour/v{theirs}/exchange")).unwrap();
            assert_eq!(answer.status(), http::StatusCode::NOT_IMPLEMENTED);
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            let body = String::from_utf8_lossy(&body).into_owned();
            assert!(
                body.contains(&format!("upgrade the {producer_says}'s agent")),
                "{body}"
            );
            let refusal = refusal(theirs);
            let side = format!("upgrade the {consumer_says}'s agent");
            assert!(refusal.detail.ends_with(&side), "{}", refusal.detail);
        }
    }

    #[test]
    fn what_is_of_no_other_version_is_not_refused_for_it() {
        for path in [
            EXCHANGE_PATH,
            REKEY_PATH,
            "/",
            "/armour/v9",
            "/armour/vx/exchange",
        ] {
            assert!(refuse(path).is_none(), "{path}");
        }
        assert_eq!(path(EXCHANGE_PATH), EXCHANGE_PATH);
        assert_eq!(path(REKEY_PATH), REKEY_PATH);
    }

    #[test]
    fn a_version_is_told_by_another_one_alone() {
        let told = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(FIELD, HeaderValue::from_static(value));
            super::told(&headers)
        };
        assert_eq!((told("2"), told("3"), told("1")), (None, Some(3), Some(1)));
        assert_eq!((told("three"), told("256"), told("")), (None, None, None));
    }
}
