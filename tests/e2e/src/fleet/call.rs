//! A call, as its caller saw it.

use std::time::{Duration, Instant};

use axum::http::header::CONTENT_TYPE;
use chrono::{DateTime, Utc};
use serde_json::Value;

/// One call.
#[derive(Debug, Clone)]
pub struct Call {
    pub id: u64,
    /// A GET; a POST otherwise.
    pub safe: bool,
    /// When it was sent, by this machine's clocks.
    pub began: Instant,
    pub sent: DateTime<Utc>,
    pub waited: Duration,
    pub ended: DateTime<Utc>,
    pub end: End,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The API answered it.
    Served,
    /// The API answered with a failure of its own.
    Failed(u16),
    /// An agent refused it: the problem's name, and what `ran` says.
    Refused {
        problem: String,
        ran: Option<String>,
    },
    /// The answer belongs to another call.
    Wrong,
    /// There was no whole answer.
    Broken(String),
}

impl Call {
    /// Whether the API answered, with whatever.
    pub fn answered(&self) -> bool {
        matches!(self.end, End::Served | End::Failed(_))
    }

    /// Whether its caller knows what became of it, or that it cannot know.
    pub fn told(&self) -> bool {
        match &self.end {
            End::Served | End::Failed(_) => true,
            End::Refused { ran, .. } => matches!(ran.as_deref(), Some("no" | "unknown")),
            End::Wrong | End::Broken(_) => false,
        }
    }

    /// Whether it failed or kept its caller waiting for longer than a second.
    pub fn suffered(&self) -> bool {
        !self.answered() || self.waited > Duration::from_secs(1)
    }

    /// When it was over.
    pub fn over(&self) -> Instant {
        self.began + self.waited
    }

    /// Why it failed, in a few words that are the same for like failures.
    pub fn why(&self) -> String {
        match &self.end {
            End::Served => "served".into(),
            End::Failed(status) => format!("the API's {status}"),
            End::Refused { problem, ran } => {
                format!("{problem}, ran: {}", ran.as_deref().unwrap_or("not said"))
            }
            End::Wrong => "another call's answer".into(),
            End::Broken(why) => why.clone(),
        }
    }
}

/// How a call with this id ended.
pub async fn end_of(id: u64, answer: reqwest::Result<reqwest::Response>) -> End {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return End::Broken(broken(&error)),
    };
    let status = answer.status();
    let problem = answer.headers().get(CONTENT_TYPE);
    let problem = problem.is_some_and(|kind| kind.as_bytes() == b"application/problem+json");
    let body = match answer.bytes().await {
        Ok(body) => body,
        Err(error) => return End::Broken(broken(&error)),
    };
    if problem {
        return refusal(&body);
    }
    match status.is_success() {
        true if body.as_ref() == id.to_string().as_bytes() => End::Served,
        true => End::Wrong,
        false => End::Failed(status.as_u16()),
    }
}

fn refusal(body: &[u8]) -> End {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| problem[name].as_str().map(str::to_owned);
    let name = text("type").unwrap_or_else(|| "a problem without a type".into());
    End::Refused {
        problem: name.trim_start_matches("urn:armour:problem:").to_owned(),
        ran: text("ran"),
    }
}

fn broken(error: &reqwest::Error) -> String {
    let kind = match error {
        error if error.is_timeout() => "its caller gave up",
        error if error.is_connect() => "nothing listens",
        _ => "the connection broke",
    };
    kind.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_its_problem_and_whether_the_call_ran() {
        let body = br#"{"type":"urn:armour:problem:busy","ran":"no"}"#;
        let expected = End::Refused {
            problem: "busy".into(),
            ran: Some("no".into()),
        };
        assert_eq!(refusal(body), expected);
    }

    #[test]
    fn a_refusal_that_cannot_be_read_tells_nobody_anything() {
        let End::Refused { ran, .. } = refusal(b"<html>") else {
            panic!("a refusal");
        };
        assert_eq!(ran, None);
    }
}
