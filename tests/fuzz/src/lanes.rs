//! Real lanes under damaged messages: whatever comes, only the genuine one is taken, and
//! it is taken whatever came before.

use std::cell::RefCell;

use armour_protocol::v2::{
    enclave::{
        consumer::Waiting,
        producer::{Ready, Standing},
    },
    message::{SignedReceipt, SignedTicket},
    suite::Suite,
};

use crate::{
    changes,
    stage::{BUDGET, NOW, Stage, first, whole},
};

struct Lanes {
    /// Awaits the genuine ticket.
    ready: Option<Ready>,
    /// Awaits the genuine receipt.
    waiting: Option<Waiting>,
    /// The ticket, the receipt.
    genuine: Vec<Vec<u8>>,
}

thread_local! {
    /// Kept from input to input, for none may change it.
    static LANES: RefCell<Lanes> = RefCell::new(lanes());
}

fn lanes() -> Lanes {
    let mut stage = Stage::new(Suite::X25519ChaCha20Poly1305);
    let (idle, ready, _, _) = stage.opened();
    let content = whole(b"request");
    let (_, ticket, _) = idle
        .begin(content.claim(), NOW, BUDGET, &mut stage.rng)
        .unwrap();
    let ticket = ticket.sign(&stage.consumer);
    let (idle, other, _, _) = stage.opened();
    let called = stage.call(idle, other, b"request");
    let conclusion = stage.conclusion(&called, &first(b"response"));
    let replied = stage.reply(called.answering, conclusion);
    Lanes {
        ready: Some(ready),
        waiting: Some(called.waiting),
        genuine: vec![ticket.to_bytes(), replied.receipt.to_bytes()],
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    LANES.with_borrow(|lanes| changes::seeds(&lanes.genuine))
}

pub fn run(data: &[u8]) {
    LANES.with_borrow_mut(|lanes| {
        let Some(bytes) = changes::message(data, &lanes.genuine) else {
            return;
        };
        let taken = match (
            SignedTicket::from_bytes(&bytes),
            SignedReceipt::from_bytes(&bytes),
        ) {
            (Ok(ticket), _) => lanes.accept(&ticket),
            (_, Ok(receipt)) => lanes.receive(&receipt),
            _ => false,
        };
        let genuine = lanes.genuine.contains(&bytes);
        assert!(!taken || genuine, "a changed message was taken");
        assert!(taken || !genuine, "the genuine message was refused");
        if taken {
            *lanes = self::lanes();
        }
    });
}

impl Lanes {
    fn accept(&mut self, ticket: &SignedTicket) -> bool {
        let ready = self.ready.take().unwrap();
        // Whoever did not sign it has no standing.
        match ready.judge(ticket) {
            Ok(Standing::Next) => {}
            Ok(standing) => panic!("somebody else's ticket has a standing: {standing:?}"),
            Err(_) => assert!(
                ready
                    .put_off(ticket, armour_protocol::v2::mode::Reason::BUSY, 1)
                    .is_err()
            ),
        }
        match ready.accept(ticket) {
            Ok(_) => true,
            Err((ready, _)) => {
                self.ready = Some(*ready);
                false
            }
        }
    }

    fn receive(&mut self, receipt: &SignedReceipt) -> bool {
        let waiting = self.waiting.take().unwrap();
        match waiting.receive(receipt, NOW) {
            Ok(_) => true,
            Err((waiting, _)) => {
                self.waiting = Some(*waiting);
                false
            }
        }
    }
}
