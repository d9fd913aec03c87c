use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use serde_json::Value;
use strum::IntoEnumIterator as _;
use tracing::Span;
use uuid::Uuid;

use super::*;
use crate::wire::{
    problem::{Ran, Refusal},
    problem_type::ProblemType,
};

const WAIT: Duration = Duration::from_secs(20);

fn settings(target: &Path, sample: f64) -> Settings {
    Settings {
        target: Target::File(target.to_owned()),
        sample,
        fields: Field::usual(),
    }
}

fn open(target: &Path, sample: f64) -> AccessLog {
    AccessLog::open(settings(target, sample), Ambient::system()).unwrap()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn log(&self) -> PathBuf {
        self.0.path().join("access.log")
    }

    /// The lines of a log that has been told to write them.
    fn lines(&self, log: &AccessLog) -> Vec<Value> {
        log.flush(WAIT);
        lines(&self.log())
    }
}

fn lines(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

fn request(target: &str) -> Request<Body> {
    let request = Request::builder().method(Method::PUT).uri(target);
    request.body(Body::from("12345")).unwrap()
}

/// A call that is answered, all of whose content passes.
async fn call(log: &AccessLog, request: Request<Body>, response: Response<Body>) {
    let record = log.begin(Side::Consumer);
    record.asked(&request, &Span::none());
    record.placed(Uuid::nil(), 3, Uuid::max(), Some("http://there"));
    record.ticket(7);
    let request = record.request(request);
    let _ = request.into_body().collect().await;
    let response = record.answer(response);
    let _ = response.into_body().collect().await;
}

fn refuse(log: &AccessLog) {
    let record = log.begin(Side::Consumer);
    record.refused(&Refusal::new(ProblemType::Late, "late").ran(Ran::No));
}

#[tokio::test]
async fn a_call_is_one_line_of_json_at_its_end() {
    let folder = Folder::new();
    let log = open(&folder.log(), 1.0);
    let mut asked = request("/items/7?key=secret");
    for (name, value) in [
        ("authorization", "Bearer hidden"),
        ("cookie", "session=hidden"),
        ("x-request-id", "r-1"),
        (
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
    ] {
        asked.headers_mut().insert(name, value.parse().unwrap());
    }
    call(&log, asked, Response::new(Body::from("answer"))).await;
    let lines = folder.lines(&log);
    assert_eq!(lines.len(), 1);
    let line = &lines[0];
    for (name, value) in [
        ("armour.side", Value::from("consumer")),
        ("armour.protected", true.into()),
        ("armour.bundle.id", Uuid::nil().to_string().into()),
        ("armour.peer.endpoint.id", Uuid::max().to_string().into()),
        ("armour.peer.address", "http://there".into()),
        ("armour.lane", 3.into()),
        ("armour.ticket", 7.into()),
        ("armour.ended", "whole".into()),
        ("armour.upstream.status_code", 200.into()),
        ("http.request.method", "PUT".into()),
        ("http.request.body.size", 5.into()),
        ("http.request.resend_count", 0.into()),
        ("http.request.header.x-request-id", vec!["r-1"].into()),
        ("http.response.body.size", 6.into()),
        ("http.response.status_code", 200.into()),
        ("network.protocol.version", "1.1".into()),
        ("trace_id", "0af7651916cd43dd8448eb211c80319c".into()),
        ("url.path", "/items/7".into()),
    ] {
        assert_eq!(line[name], value, "{name}");
    }
    assert!(line["http.server.request.duration"].is_number());
    let text = line.to_string();
    assert!(!text.contains("hidden") && !text.contains("secret"));
}

#[tokio::test]
async fn an_answer_that_breaks_off_or_is_left_says_so() {
    let folder = Folder::new();
    let log = open(&folder.log(), 1.0);
    let broken = futures::stream::iter([Ok(Bytes::from("12")), Err("cut")]);
    call(&log, request("/"), Response::new(Body::from_stream(broken))).await;
    let record = log.begin(Side::Consumer);
    drop(record.answer(Response::new(Body::from("unread"))));
    drop(record);
    refuse(&log);
    let lines = folder.lines(&log);
    let ended: Vec<_> = lines
        .iter()
        .map(|line| line["armour.ended"].clone())
        .collect();
    assert_eq!(ended, ["broken", "left", "whole"]);
    assert_eq!(lines[0]["http.response.body.size"], 2);
    assert_eq!(lines[2]["error.type"], "late");
    assert_eq!(lines[2]["armour.ran"], "no");
}

#[tokio::test]
async fn a_call_that_is_made_anew_tells_how_often_and_where_it_ended() {
    let folder = Folder::new();
    let log = open(&folder.log(), 1.0);
    let record = log.begin(Side::Consumer);
    for (at, lane) in [(Uuid::nil(), 1), (Uuid::max(), 2)] {
        record.placed(at, lane, at, None);
    }
    drop(record);
    let lines = folder.lines(&log);
    assert_eq!(lines[0]["http.request.resend_count"], 1);
    assert_eq!(lines[0]["armour.lane"], 2);
    assert_eq!(lines[0]["armour.bundle.id"], Uuid::max().to_string());
}

#[tokio::test]
async fn failures_are_written_though_nothing_is_sampled_and_not_without_bound() {
    let folder = Folder::new();
    let log = open(&folder.log(), 0.0);
    for _ in 0..50 {
        call(&log, request("/"), Response::new(Body::empty())).await;
    }
    for _ in 0..5_000 {
        refuse(&log);
    }
    let lines = folder.lines(&log);
    assert!(lines.len() >= 200, "{}", lines.len());
    assert!(lines.iter().all(|line| line["error.type"] == "late"));
    let missing = log.0.as_ref().unwrap().missing.take();
    assert_eq!(lines.len() as u64 + missing, 5_000);
    assert!(missing > 0, "nothing bounds them");
}

#[tokio::test]
async fn a_pipe_that_nobody_reads_makes_no_call_wait() {
    let folder = Folder::new();
    let fifo = folder.log();
    let mkfifo = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(mkfifo.unwrap().success());
    // Somebody has it open, and reads nothing.
    let reader = std::thread::spawn({
        let fifo = fifo.clone();
        move || std::fs::File::open(fifo).unwrap()
    });
    let log = AccessLog::with_queue(settings(&fifo, 1.0), Ambient::system(), 64).unwrap();
    let mut reader = reader.join().unwrap();
    // Many times what a pipe holds: a thread that waited for it would never come here.
    for _ in 0..5_000 {
        refuse(&log);
    }
    assert!(log.0.as_ref().unwrap().missing.take() > 0);
    let mut first = [0; 1];
    reader.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"{");
}

#[tokio::test]
async fn a_full_disk_is_counted_and_no_call_fails() {
    let log = open(Path::new("/dev/full"), 1.0);
    for _ in 0..10 {
        refuse(&log);
    }
    log.flush(WAIT);
    assert_eq!(log.0.as_ref().unwrap().missing.take(), 10);
}

#[tokio::test]
async fn a_file_that_was_renamed_is_opened_anew() {
    let folder = Folder::new();
    let log = open(&folder.log(), 1.0);
    refuse(&log);
    log.flush(WAIT);
    let old = folder.0.path().join("access.log.1");
    std::fs::rename(folder.log(), &old).unwrap();
    refuse(&log);
    log.flush(WAIT);
    log.reopen();
    log.flush(WAIT);
    refuse(&log);
    assert_eq!(folder.lines(&log).len(), 1);
    assert_eq!(lines(&old).len(), 2);
}

#[test]
fn fields_are_written_in_the_order_chosen_and_escaped() {
    let mut entry = Entry::new(Ambient::system().now(), Side::Producer);
    entry.request_id = Some("a\n\"b\u{1b}".to_owned());
    let chosen: Vec<Field> = [
        "armour.side",
        "http.request.header.x-request-id",
        "url.path",
    ]
    .iter()
    .map(|name| name.parse().unwrap())
    .collect();
    let line = String::from_utf8(entry.line(&chosen)).unwrap();
    assert_eq!(
        line,
        "{\"armour.side\":\"producer\",\
         \"http.request.header.x-request-id\":[\"a\\n\\\"b\\u001b\"]}\n"
    );
    assert_eq!(entry.line(&[]), b"{}\n");
}

#[test]
fn an_unknown_field_is_refused_with_the_list() {
    let error = "authorization".parse::<Field>().unwrap_err();
    assert!(error.contains("`authorization`"), "{error}");
    for field in Field::iter() {
        assert!(error.contains(field.name()), "{error}");
        assert_eq!(field.name().parse(), Ok(field));
    }
}

#[test]
fn the_manual_lists_each_field() {
    let manual = include_str!("../../../../docs/agent.md");
    for field in Field::iter() {
        let row = format!("| `{}` |", field.name());
        assert!(manual.contains(&row), "docs/agent.md has no row {row}");
    }
}

#[test]
fn targets_are_read() {
    for (text, target) in [
        ("off", Target::Off),
        ("", Target::Off),
        ("-", Target::Stdout),
        ("/a", Target::File("/a".into())),
    ] {
        assert_eq!(text.parse(), Ok(target));
    }
}
