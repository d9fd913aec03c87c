//! Tickets, receipts, refusals and what is kept of them as evidence: what is read is
//! written the same, and in one form only.

use std::sync::LazyLock;

use armour_protocol::v2::{
    body::{BODY_LEN, Body},
    message::{Evidence, SignedReceipt, SignedTicket},
    mode::Reason,
    suite::Suite,
    transient::{Answer, SignedTransient},
};

use crate::{changes, stage::Stage};

static GENUINE: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut all = Vec::new();
    for suite in Suite::ALL {
        let mut stage = Stage::new(suite);
        let fresh = stage.consumer_lanes.fresh().unwrap();
        let (_, ticket) = fresh.open(&[], None, &mut stage.rng).unwrap();
        let ticket = ticket.sign(&stage.consumer);
        let put_off = stage.producer_lanes.put_off(&ticket, Reason::BUSY, 9);
        all.push(put_off.unwrap().sign(&stage.producer).to_bytes());
        let (idle, ready, ticket, receipt) = stage.opened();
        all.extend([ticket.to_bytes(), receipt.to_bytes()]);
        let called = stage.call(idle, ready, b"request");
        all.extend([
            called.ticket.to_bytes(),
            called.ticket.evidence().to_bytes(),
        ]);
    }
    all
});

pub fn seeds() -> Vec<Vec<u8>> {
    changes::seeds(&GENUINE)
}

pub fn run(data: &[u8]) {
    let Some(bytes) = changes::message(data, &GENUINE) else {
        return;
    };
    let (ticket, receipt) = (
        SignedTicket::from_bytes(&bytes),
        SignedReceipt::from_bytes(&bytes),
    );
    let transient = SignedTransient::from_bytes(&bytes);
    let evidence = Evidence::from_bytes(&bytes);
    // One message is one of them.
    let read = [ticket.is_ok(), receipt.is_ok(), transient.is_ok()];
    assert!(read.iter().filter(|read| **read).count() <= 1);
    match Answer::from_bytes(&bytes) {
        Ok(Answer::Receipt(same)) => assert_eq!(Ok(*same), receipt),
        Ok(Answer::Transient(same)) => assert_eq!(Ok(*same), transient),
        Err(_) => assert!(receipt.is_err() && transient.is_err()),
    }
    let kept = |evidence: Evidence| {
        let written = evidence.to_bytes();
        assert_eq!(Body::from_bytes(&written[..BODY_LEN]), Ok(evidence.body));
        assert_eq!(Evidence::from_bytes(&written), Ok(evidence));
    };
    if let Ok(ticket) = ticket {
        assert_eq!(ticket.to_bytes(), bytes);
        kept(ticket.evidence());
    }
    if let Ok(receipt) = receipt {
        assert_eq!(receipt.to_bytes(), bytes);
        kept(receipt.evidence());
    }
    if let Ok(transient) = transient {
        assert_eq!(transient.to_bytes(), bytes);
    }
    if let Ok(evidence) = evidence {
        assert_eq!(evidence.to_bytes(), bytes);
    }
    if let Ok(body) = Body::from_bytes(&bytes) {
        assert_eq!(body.to_bytes()[..], bytes);
    }
}
