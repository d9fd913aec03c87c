//! Requests that come, stall, or are not what was signed.

use armour_protocol::v2::{
    body::Body as TicketBody, checkpoint::Mark, proxy::Epoch, time::ProducerTime,
};
use ed25519_dalek::SigningKey;
use http::HeaderMap;
use http_body_util::BodyExt;

use super::*;
use crate::{
    testing::{Accept, Lane},
    wire::{bhttp, content::Content, idle::REQUEST_IDLE},
};

/// A stream whose first content holds the head.
fn upload() -> Accept {
    let (parts, ()) = Request::post("/upload").body(()).unwrap().into_parts();
    let mut head = Content::default();
    bhttp::put_request(&parts, &mut head);
    Lane::open().stream(head.as_slice())
}

fn piece(content: &[u8]) -> Content {
    let mut piece = Content::default();
    bhttp::put_content(content, &mut piece);
    piece
}

async fn opened(call: Accept) -> Opened {
    let rest = call.reader();
    opened_from(call, rest).await
}

async fn opened_from(call: Accept, rest: MessageReader) -> Opened {
    opened_beside(call, rest, &Arc::default()).await
}

async fn opened_beside(call: Accept, mut rest: MessageReader, rekeying: &Arc<Rekeying>) -> Opened {
    let (header, sealed) = rest.segment().await.unwrap();
    let request = call.pending.receive(header, &sealed);
    let request = request.map_err(|(_, error)| error).unwrap();
    let Ok((_, arrived)) = request.begin(ProducerTime(0)) else {
        panic!("it is in time");
    };
    open(arrived, rest, rekeying)
}

#[tokio::test]
async fn a_stream_comes_whole_and_says_that_it_did() {
    let mut call = upload();
    call.push(piece(b"one").as_slice());
    call.checkpoint(false, None);
    let mut end = piece(b"two");
    bhttp::put_end(&HeaderMap::new(), &mut end);
    call.push(end.as_slice());
    call.checkpoint(true, None);
    let opened = opened(call).await;
    let body = opened.request.unwrap().into_body();
    assert_eq!(&body.collect().await.unwrap().to_bytes()[..], b"onetwo");
    let end = opened.end.unwrap().after_the_answer().await;
    assert!(end.unwrap().unverified().is_final());
    opened.turn.clone().over(std::time::Duration::ZERO).await;
}

/// Whoever holds the one-time key chooses what follows a genuine head; but nothing of it
/// reaches the API, whose request has no end.
#[tokio::test]
async fn p1_content_that_was_not_signed_never_reaches_the_api() {
    let mut call = upload();
    call.push(piece(b"genuine").as_slice());
    call.checkpoint(false, None);
    call.push(piece(&[6; 300_000]).as_slice());
    call.checkpoint(true, Some(&SigningKey::from_bytes(&[66; 32])));
    let opened = opened(call).await;
    let mut body = opened.request.unwrap().into_body();
    let mut seen = Vec::new();
    let broken = loop {
        match body.frame().await {
            Some(Ok(frame)) => seen.extend_from_slice(&frame.into_data().unwrap()),
            Some(Err(_)) => break true,
            None => break false,
        }
    };
    assert!(broken);
    assert_eq!(seen, b"genuine");
    assert!(opened.end.unwrap().after_the_answer().await.is_err());
}

/// The request's next epoch, behind a checkpoint of which its consumer says that it signed it.
fn epoch(ticket: &TicketBody, mark: Mark) -> Epoch<RequestSide> {
    let mut bytes = vec![0, ticket.header.suite as u8];
    bytes.extend_from_slice(&ticket.header.n.to_be_bytes());
    bytes.extend_from_slice(&ticket.hash().0);
    bytes.extend_from_slice(&1u32.to_be_bytes());
    bytes.extend_from_slice(&[7; 32]);
    bytes.extend_from_slice(&mark.to_bytes());
    bytes.extend_from_slice(&[8; 64]);
    Epoch::from_bytes(&bytes).unwrap()
}

/// Who copied the consumer and sits in the connection goes on in an epoch that is over.
#[tokio::test]
async fn a_checkpoint_behind_the_end_of_its_epoch_is_an_alarm_and_never_reaches_the_api() {
    let mut call = upload();
    call.push(piece(b"forged").as_slice());
    call.checkpoint(true, None);
    let rekeying = Arc::<Rekeying>::default();
    // Its consumer has signed none before it re-keyed.
    let next = epoch(&call.ticket, Mark::NONE);
    rekeying.request.add(next).unwrap();
    let rest = call.reader();
    let opened = opened_beside(call, rest, &rekeying).await;
    let body = opened.request.unwrap().into_body();
    let (mut seen, mut body) = (Vec::new(), body);
    while let Some(Ok(frame)) = body.frame().await {
        seen.extend_from_slice(&frame.into_data().unwrap());
    }
    assert!(seen.is_empty());
    assert!(opened.end.unwrap().after_the_answer().await.is_err());
    assert!(rekeying.is_alarmed());
    assert!(rekeying.proof().unwrap().unverified().is_final());
}

#[tokio::test]
async fn a_stream_that_is_cut_has_no_end() {
    let mut call = upload();
    call.push(piece(b"never vouched for").as_slice());
    let opened = opened(call).await;
    let body = opened.request.unwrap().into_body();
    assert!(body.collect().await.is_err());
    assert!(opened.end.unwrap().after_the_answer().await.is_err());
}

/// Its sender says that it is whole by its last checkpoint alone.
#[tokio::test]
async fn an_end_that_is_not_in_the_last_checkpoint_is_none() {
    let mut call = upload();
    let mut end = piece(b"all");
    bhttp::put_end(&HeaderMap::new(), &mut end);
    call.push(end.as_slice());
    call.checkpoint(false, None);
    let opened = opened(call).await;
    let body = opened.request.unwrap().into_body();
    assert!(body.collect().await.is_err());
}

/// A stream whose first content holds the head, and whose caller sends no more.
async fn stalled() -> Opened {
    let call = upload();
    let wire = futures::stream::once(std::future::ready(Ok::<_, std::convert::Infallible>(
        call.wire.clone(),
    )));
    let wire = futures::StreamExt::chain(wire, futures::stream::pending());
    opened_from(call, MessageReader::new(Body::from_stream(wire))).await
}

#[tokio::test(start_paused = true)]
async fn a_request_that_stands_still_ends_before_its_answer_and_after_it() {
    let opened = stalled().await;
    let body = opened.request.unwrap().into_body().collect();
    let body = tokio::time::timeout(REQUEST_IDLE * 2, body).await;
    assert!(body.expect("it waits without an end").is_err());
    let end = stalled().await.end.unwrap().after_the_answer();
    let end = tokio::time::timeout(REQUEST_IDLE * 2, end).await;
    assert!(end.expect("it waits without an end").is_err());
}

#[tokio::test(start_paused = true)]
async fn a_request_may_stand_still_while_its_answer_flows() {
    let opened = stalled().await;
    opened.end.as_ref().unwrap().answer_begins();
    let body = opened.request.unwrap().into_body().collect();
    assert!(tokio::time::timeout(REQUEST_IDLE * 10, body).await.is_err());
}

/// An API that has answered need not read the rest; the lane goes on after it.
#[tokio::test]
async fn what_the_api_does_not_want_is_read_to_its_end() {
    let mut call = upload();
    for _ in 0..20 {
        call.push(piece(&[1; 60_000]).as_slice());
        call.checkpoint(false, None);
    }
    let mut end = Content::default();
    bhttp::put_end(&HeaderMap::new(), &mut end);
    call.push(end.as_slice());
    call.checkpoint(true, None);
    let opened = opened(call).await;
    drop(opened.request);
    assert!(opened.end.unwrap().after_the_answer().await.is_ok());
}
