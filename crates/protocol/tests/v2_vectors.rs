//! Version 2: writes and checks the published test vectors, `tests/vectors/v2-suite-N.json`.
//! An independent program, `tests/test_vectors_2.py`, derives them anew.

use armour_protocol::v2::{
    body::Direction,
    checkpoint::Mark,
    content::{DigestKind, Padding},
    enclave::{
        After,
        consumer::{Answered, Idle},
        producer::{Accepted, BareAfter, Ready},
    },
    envelope,
    message::{SignedReceipt, SignedTicket},
    mode::Reason,
    proof::Unsigned,
    proxy::{Epochs, FirstContent, Outgoing, Pending, WholeContent},
    rekey::{SignedSubReceipt, SignedSubTicket},
    schedule::BundleSecret,
    suite::Suite,
};
use serde_json::{Value, json};

use crate::v2_common::{BUDGET, LOG_HEAD, MINTED, World, lane};

/// What a message drew: 32 bytes that blind its commitment, if it has content; then an
/// X25519 secret and, in suite 2, ML-KEM's seed and what encapsulation drew.
fn drawn(w: &mut World, blinded: bool) -> Value {
    let drawn = std::mem::take(&mut w.rng.drawn);
    let (blinding, rest) = drawn.split_at(if blinded { 32 } else { 0 });
    let mut out = json!({ "x25519_secret": hex::encode(&rest[..32]) });
    if blinded {
        out["blinding"] = hex::encode(blinding).into();
    }
    if w.context.suite() == Suite::X25519MlKem768ChaCha20Poly1305 {
        out["ml_kem_seed"] = hex::encode(&rest[32..96]).into();
    }
    out
}

fn ticket(w: &World, ticket: &SignedTicket) -> String {
    hex::encode(w.gate.frame(Direction::Request, &ticket.to_bytes()))
}

fn receipt(w: &World, receipt: &SignedReceipt) -> String {
    hex::encode(w.gate.frame(Direction::Response, &receipt.to_bytes()))
}

fn key<S: armour_protocol::v2::message::Side>(outgoing: &Outgoing<S>) -> String {
    let bytes = outgoing.to_bytes();
    hex::encode(&bytes[bytes.len() - 64..bytes.len() - 32])
}

/// Exchange 0. Both ends' signatures are shares in one, of three lanes.
fn opening(w: &mut World) -> (Idle, Ready, Value) {
    let (mut lanes, mut tickets, mut requests) = (Vec::new(), Vec::new(), Vec::new());
    for replaces in [None, Some(7), None] {
        let fresh = w.consumer_lanes.fresh().unwrap();
        let (opening, ticket) = fresh.open(LOG_HEAD, replaces, &mut w.rng).unwrap();
        requests.push(drawn(w, false));
        lanes.push(opening);
        tickets.push(ticket);
    }
    let tickets = Unsigned::sign_all(tickets, &w.consumer, &mut w.rng).unwrap();
    let (mut readies, mut receipts, mut responses) = (Vec::new(), Vec::new(), Vec::new());
    for ticket in &tickets {
        let (opened, _) = w.producer_lanes.open(ticket).unwrap();
        w.rng.drawn.clear();
        let (ready, receipt) = opened.answer(LOG_HEAD, w.clock(), &mut w.rng).unwrap();
        responses.push(drawn(w, false));
        readies.push(ready);
        receipts.push(receipt);
    }
    let receipts = Unsigned::sign_all(receipts, &w.producer, &mut w.rng).unwrap();
    let opening = lanes.remove(1).receive(&receipts[1], w.local());
    w.rng.drawn.clear();
    let exchange = json!({
        "request": { "drawn": requests[1], "frame": ticket(w, &tickets[1]), "body": "" },
        "response": { "drawn": responses[1], "frame": receipt(w, &receipts[1]), "body": "" },
    });
    let idle = opening.map_err(|(_, error)| error).unwrap();
    (idle, readies.remove(1), exchange)
}

fn empty(w: &mut World, idle: Idle, ready: Ready) -> (Idle, Ready, Value) {
    let (refreshing, unsigned) = idle.refresh(w.local(), &mut w.rng).unwrap();
    let sent = unsigned.sign(&w.consumer);
    let request = json!({ "drawn": drawn(w, false), "frame": ticket(w, &sent), "body": "" });
    let Ok(Accepted::Bare(bare)) = ready.accept(&sent) else {
        panic!("it carries no content");
    };
    let (BareAfter::Ready(ready), unsigned) = bare.answer(w.clock(), &mut w.rng).unwrap() else {
        panic!("it is not the last");
    };
    let replied = unsigned.sign(&w.producer);
    let response = json!({ "drawn": drawn(w, false), "frame": receipt(w, &replied), "body": "" });
    let idle = refreshing.receive(&replied, w.local());
    let idle = idle.map_err(|(_, error)| error).unwrap();
    (
        idle,
        *ready,
        json!({ "request": request, "response": response }),
    )
}

/// A whole request; a whole response, or a final refusal.
fn call(w: &mut World, idle: Idle, ready: Ready, answer: Option<&[u8]>) -> (Idle, Ready, Value) {
    let content = WholeContent::new(b"a request", DigestKind::Sha256, Padding::Padme).unwrap();
    let (waiting, unsigned, outgoing) = idle
        .begin(content.claim(), w.local(), BUDGET, &mut w.rng)
        .unwrap();
    let sent = unsigned.sign(&w.consumer);
    let mut body = Vec::new();
    let key_of_request = key(&outgoing);
    content.seal(outgoing, &mut body).unwrap();
    let request = json!({
        "drawn": drawn(w, true), "frame": ticket(w, &sent), "body": hex::encode(&body),
        "key": key_of_request, "content": hex::encode(b"a request"),
    });
    let sent = crate::v2_common::Sent { ticket: sent, body };
    let (answering, undecided) = w.accept(ready, &sent);
    let (concluded, body, key, content) = match answer {
        None => {
            let refused = undecided.refuse(Reason::POLICY);
            let concluded = w.conclude(answering, refused.conclude());
            (concluded, Vec::new(), None, None)
        }
        Some(answer) => {
            let (begun, _) = w.run(undecided, &sent);
            let content = WholeContent::new(answer, DigestKind::Sha256, Padding::None).unwrap();
            let mut concluded = w.conclude(answering, begun.answer(content.claim()));
            let outgoing = concluded.outgoing.take().unwrap();
            let (key, mut body) = (key(&outgoing), Vec::new());
            content.seal(outgoing, &mut body).unwrap();
            (concluded, body, Some(key), Some(hex::encode(answer)))
        }
    };
    let replied = concluded.receipt.sign(&w.producer);
    let response = json!({
        "drawn": drawn(w, answer.is_some()), "frame": receipt(w, &replied),
        "body": hex::encode(&body), "key": key, "content": content,
    });
    let received = w.received(waiting, &replied);
    (
        lane(received.lane),
        lane(concluded.lane),
        json!({ "request": request, "response": response }),
    )
}

/// Both directions stream: two checkpoints there, one back.
fn stream(w: &mut World, idle: Idle, ready: Ready) -> (Idle, Ready, Value) {
    let first = FirstContent::new(b"head", DigestKind::Sha256, Padding::Padme).unwrap();
    let (mut waiting, unsigned, outgoing) = idle
        .begin(first.claim(), w.local(), BUDGET, &mut w.rng)
        .unwrap();
    let sent = unsigned.sign(&w.consumer);
    let (key_of_request, mut body) = (key(&outgoing), Vec::new());
    let mut writer = first.seal(outgoing, &mut body).unwrap();
    writer.push(b"some data", &mut body).unwrap();
    let due = writer.checkpoint(Mark::NONE);
    let signed = waiting.checkpoint(due.claim()).unwrap().sign(&w.consumer);
    let mut writer = due.seal(signed.proof(), &mut body).unwrap().unwrap();
    let mark = signed.unverified().mark();
    let request_drawn = drawn(w, true);

    let Ok(Accepted::Call(answering, incoming)) = ready.accept(&sent) else {
        panic!("it is a call");
    };
    let pending = Pending::new(w.context.clone(), incoming);
    let request = crate::v2_common::received(pending, &body);
    let (begun, _) = request.begin(w.clock()).ok().unwrap();
    let answer = FirstContent::new(b"status", DigestKind::Sha256, Padding::None).unwrap();
    let mut concluded = w.conclude(answering, begun.answer(answer.claim()));
    let outgoing = concluded.outgoing.take().unwrap();
    let replied = concluded.receipt.sign(&w.producer);
    let response_drawn = drawn(w, true);
    let (key_of_response, mut back) = (key(&outgoing), Vec::new());
    let mut answer = answer.seal(outgoing, &mut back).unwrap();
    answer.push(b"an answer", &mut back).unwrap();
    let due = answer.finish(mark);
    let After::Streaming(mut theirs) = concluded.lane else {
        panic!("both directions stream");
    };
    let last = theirs.checkpoint(due.claim()).unwrap().sign(&w.producer);
    due.seal(last.proof(), &mut back).unwrap();

    let received = w.received(waiting, &replied);
    assert!(matches!(received.answer, Answered::Content(_)));
    let After::Streaming(mut ours) = received.lane else {
        panic!("both directions stream");
    };
    writer.push(b"and the rest", &mut body).unwrap();
    let due = writer.finish(last.unverified().mark());
    let signed = ours.checkpoint(due.claim()).unwrap().sign(&w.consumer);
    due.seal(signed.proof(), &mut body).unwrap();
    let idle = ours.finish(Some(&last)).map_err(|(_, error)| error);
    let ready = theirs.finish(Some(&signed)).map_err(|(_, error)| error);
    let exchange = json!({
        "request": {
            "drawn": request_drawn, "frame": ticket(w, &sent), "body": hex::encode(&body),
            "key": key_of_request, "content": hex::encode(b"headsome dataand the rest"),
        },
        "response": {
            "drawn": response_drawn, "frame": receipt(w, &replied), "body": hex::encode(&back),
            "key": key_of_response, "content": hex::encode(b"statusan answer"),
        },
    });
    (idle.unwrap(), ready.unwrap(), exchange)
}

/// A sub-ticket and its sub-receipt, and the keys that follow.
fn rekeying(
    w: &World,
    after_receipt: bool,
    (ticket, asked): (&SignedSubTicket, Vec<u8>),
    (receipt, answered): (&SignedSubReceipt, Vec<u8>),
    epochs: &Epochs,
) -> Value {
    let mut drawn = json!({ "x25519_secret": hex::encode(&asked[..32]) });
    if asked.len() > 32 {
        drawn["ml_kem_seed"] = hex::encode(&asked[32..]).into();
    }
    let (request, response) = (epochs.request.to_bytes(), epochs.response.to_bytes());
    let keys = [&request, &response].map(|epoch| hex::encode(&epoch[epoch.len() - 32..]));
    json!({
        "after_receipt": after_receipt,
        "sub_ticket": {
            "drawn": drawn,
            "frame": hex::encode(w.gate.frame(Direction::Request, &ticket.to_bytes())),
        },
        "sub_receipt": {
            "drawn": { "x25519_secret": hex::encode(&answered[..32]) },
            "frame": hex::encode(w.gate.frame(Direction::Response, &receipt.to_bytes())),
        },
        "keys": keys,
    })
}

/// Both directions stream and re-key twice, once before the receipt.
fn rekeyed_stream(w: &mut World, idle: Idle, ready: Ready) -> (Idle, Ready, Value) {
    let first = FirstContent::new(b"head", DigestKind::Blake3, Padding::Padme).unwrap();
    let (mut waiting, unsigned, outgoing) = idle
        .begin(first.claim(), w.local(), BUDGET, &mut w.rng)
        .unwrap();
    let sent = unsigned.sign(&w.consumer);
    let (key_of_request, mut body) = (key(&outgoing), Vec::new());
    let mut writer = first.seal(outgoing, &mut body).unwrap();
    let request_drawn = drawn(w, true);
    let Ok(Accepted::Call(mut answering, incoming)) = ready.accept(&sent) else {
        panic!("it is a call");
    };
    let pending = Pending::new(w.context.clone(), incoming);
    let request = crate::v2_common::received(pending, &body);
    let (begun, _) = request.begin(w.clock()).ok().unwrap();

    let asked = waiting.rekey(&mut w.rng).unwrap().sign(&w.consumer);
    let asked_drawn = std::mem::take(&mut w.rng.drawn);
    let rekeyed = answering.rekey(&asked, Mark::NONE, &mut w.rng).unwrap();
    let told = rekeyed.receipt.sign(&w.producer);
    let told_drawn = std::mem::take(&mut w.rng.drawn);
    let epochs = waiting.rekeyed(&told).unwrap();
    let first_epoch = rekeyed.epochs.response;
    let one = rekeying(
        w,
        false,
        (&asked, asked_drawn),
        (&told, told_drawn),
        &epochs,
    );
    writer.switch(&epochs.request, &mut body).unwrap();
    let due = writer.checkpoint(Mark::NONE);
    let signed = waiting.checkpoint(due.claim()).unwrap().sign(&w.consumer);
    let mut writer = due.seal(signed.proof(), &mut body).unwrap().unwrap();
    writer.push(b"some data", &mut body).unwrap();
    let due = writer.checkpoint(Mark::NONE);
    let signed = waiting.checkpoint(due.claim()).unwrap().sign(&w.consumer);
    let mut writer = due.seal(signed.proof(), &mut body).unwrap().unwrap();
    let mark = signed.unverified().mark();

    let answer = FirstContent::new(b"status", DigestKind::Sha256, Padding::None).unwrap();
    let mut concluded = w.conclude(answering, begun.answer(answer.claim()));
    let outgoing = concluded.outgoing.take().unwrap();
    let replied = concluded.receipt.sign(&w.producer);
    let response_drawn = drawn(w, true);
    let (key_of_response, mut back) = (key(&outgoing), Vec::new());
    let outgoing = outgoing.in_epoch(first_epoch).unwrap();
    let mut answer = answer.seal(outgoing, &mut back).unwrap();
    let After::Streaming(mut theirs) = concluded.lane else {
        panic!("both directions stream");
    };
    let After::Streaming(mut ours) = w.received(waiting, &replied).lane else {
        panic!("both directions stream");
    };
    let asked = ours
        .rekey(Mark::NONE, &mut w.rng)
        .unwrap()
        .sign(&w.consumer);
    let asked_drawn = std::mem::take(&mut w.rng.drawn);
    let rekeyed = theirs.rekey(&asked, mark, &mut w.rng).unwrap();
    let told = rekeyed.receipt.sign(&w.producer);
    let told_drawn = std::mem::take(&mut w.rng.drawn);
    let epochs = ours.rekeyed(&told).unwrap();
    let two = rekeying(w, true, (&asked, asked_drawn), (&told, told_drawn), &epochs);
    answer.switch(&rekeyed.epochs.response, &mut back).unwrap();
    let due = answer.checkpoint(mark);
    let signed = theirs.checkpoint(due.claim()).unwrap().sign(&w.producer);
    let mut answer = due.seal(signed.proof(), &mut back).unwrap().unwrap();
    answer.push(b"an answer", &mut back).unwrap();
    let due = answer.finish(mark);
    let last = theirs.checkpoint(due.claim()).unwrap().sign(&w.producer);
    due.seal(last.proof(), &mut back).unwrap();
    writer.switch(&epochs.request, &mut body).unwrap();
    let due = writer.checkpoint(last.unverified().mark());
    let signed = ours.checkpoint(due.claim()).unwrap().sign(&w.consumer);
    let mut writer = due.seal(signed.proof(), &mut body).unwrap().unwrap();
    writer.push(b"and the rest", &mut body).unwrap();
    let due = writer.finish(last.unverified().mark());
    let signed = ours.checkpoint(due.claim()).unwrap().sign(&w.consumer);
    due.seal(signed.proof(), &mut body).unwrap();
    let idle = ours.finish(Some(&last)).map_err(|(_, error)| error);
    let ready = theirs.finish(Some(&signed)).map_err(|(_, error)| error);
    let exchange = json!({
        "request": {
            "drawn": request_drawn, "frame": ticket(w, &sent), "body": hex::encode(&body),
            "key": key_of_request, "content": hex::encode(b"headsome dataand the rest"),
        },
        "rekeyings": [one, two],
        "response": {
            "drawn": response_drawn, "frame": receipt(w, &replied), "body": hex::encode(&back),
            "key": key_of_response, "content": hex::encode(b"statusan answer"),
        },
    });
    (idle.unwrap(), ready.unwrap(), exchange)
}

fn vector(suite: Suite) -> Value {
    let mut w = World::new(suite);
    let (kem_secret, kem_public) = envelope::generate(&mut w.rng);
    let minted = BundleSecret::from_bytes(MINTED);
    let context = w.context.clone();
    let sealed = envelope::seal(&kem_public, &context, &minted, &mut w.rng).unwrap();
    w.rng.drawn.clear();
    let mut exchanges = Vec::new();
    let (mut idle, mut ready, exchange) = opening(&mut w);
    exchanges.push(exchange);
    let mut keep = |(next, then, exchange): (Idle, Ready, Value)| {
        exchanges.push(exchange);
        (next, then)
    };
    w.now += 1_234;
    (idle, ready) = keep(call(&mut w, idle, ready, Some(b"a response")));
    w.now += 1_000;
    (idle, ready) = keep(empty(&mut w, idle, ready));
    (idle, ready) = keep(call(&mut w, idle, ready, None));
    w.now += 1;
    (idle, ready) = keep(stream(&mut w, idle, ready));
    (idle, ready) = keep(rekeyed_stream(&mut w, idle, ready));
    (idle, ready) = keep(call(&mut w, idle, ready, Some(b"after both")));
    let (waiting, sent) = w.begin(idle, b"put off");
    let put_off = ready.put_off(&sent.ticket, Reason::BUSY, 250).unwrap();
    let put_off = put_off.sign(&w.producer);
    assert!(waiting.put_off(&put_off).is_ok());
    let binding = context.binding();
    let end = |end: &armour_protocol::v2::context::End| {
        json!({
            "party": hex::encode(end.party),
            "endpoint": hex::encode(end.endpoint),
            "key": hex::encode(end.key.as_bytes()),
        })
    };
    json!({
        "suite": suite as u8,
        "tenant": hex::encode(binding.tenant),
        "pair": hex::encode(binding.pair),
        "bundle": hex::encode(binding.bundle),
        "draw": binding.draw,
        "policy": hex::encode(binding.policy),
        "consumer": end(&binding.consumer),
        "producer": end(&binding.producer),
        "consumer_signing_secret": hex::encode(w.consumer.as_bytes()),
        "producer_signing_secret": hex::encode(w.producer.as_bytes()),
        "minted_secret": hex::encode(MINTED),
        "context": hex::encode(context.to_bytes()),
        "gate": hex::encode(w.gate.as_bytes()),
        "envelope": {
            "kem_secret": hex::encode(*kem_secret),
            "kem_public": hex::encode(kem_public),
            "sealed": hex::encode(sealed),
        },
        "log_head": hex::encode(LOG_HEAD),
        "lane": 1,
        "replaces": 7,
        "exchanges": exchanges,
        "put_off": {
            "ticket": ticket(&w, &sent.ticket),
            "transient": hex::encode(w.gate.frame(Direction::Response, &put_off.to_bytes())),
        },
    })
}

#[test]
fn published_vectors_of_version_2_are_what_this_code_does() {
    for suite in Suite::ALL {
        let path = format!(
            "{}/../../tests/vectors/v2-suite-{}.json",
            env!("CARGO_MANIFEST_DIR"),
            suite as u8
        );
        let text = serde_json::to_string_pretty(&vector(suite)).unwrap() + "\n";
        if std::env::var_os("ARMOUR_UPDATE_VECTORS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let published = std::fs::read_to_string(&path).unwrap();
        assert!(published == text, "{path} differs; see `make vectors`");
    }
}
