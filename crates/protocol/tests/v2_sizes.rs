//! Version 2: what an exchange takes on the wire, which `docs/protocol.md` lists.

use armour_protocol::v2::{enclave::producer::Accepted, suite::Suite};

use crate::v2_common::{World, lane};

/// Length prefix and MAC.
const FRAME: usize = 2 + 16;

/// Bytes of (ticket 0, receipt 0) without log heads, of an empty exchange's two messages,
/// and of a call's with 1 KiB each way.
fn sizes(suite: Suite) -> [usize; 6] {
    let mut w = World::new(suite);
    let fresh = w.consumer_lanes.fresh().unwrap();
    let (opening, ticket) = fresh.open(&[], None, &mut w.rng).unwrap();
    let ticket = ticket.sign(&w.consumer);
    let (opened, _) = w.producer_lanes.open(&ticket).unwrap();
    let (ready, receipt) = opened.answer(&[], w.clock(), &mut w.rng).unwrap();
    let receipt = receipt.sign(&w.producer);
    let opening_sizes = [ticket.to_bytes().len(), receipt.to_bytes().len()];
    let idle = opening.receive(&receipt, w.local());
    let idle = idle.map_err(|(_, error)| error).unwrap();

    let (waiting, sent) = w.begin(idle, &[1; 1024]);
    let (answering, undecided) = w.accept(ready, &sent);
    let (begun, _) = w.run(undecided, &sent);
    let (ready, replied) = w.reply(answering, begun, &[2; 1024]);
    let received = w.received(waiting, &replied.receipt);
    let call = [
        sent.ticket.to_bytes().len() + sent.body.len(),
        replied.receipt.to_bytes().len() + replied.body.len(),
    ];

    let idle = lane(received.lane);
    let (_, ticket) = idle.refresh(w.local(), &mut w.rng).unwrap();
    let ticket = ticket.sign(&w.consumer);
    let Ok(Accepted::Bare(bare)) = ready.accept(&ticket) else {
        panic!("it carries no content");
    };
    let (_, receipt) = bare.answer(w.clock(), &mut w.rng).unwrap();
    let receipt = receipt.sign(&w.producer);
    let empty = [ticket.to_bytes().len(), receipt.to_bytes().len()];
    [opening_sizes, empty, call]
        .concat()
        .iter()
        .map(|size| size + FRAME)
        .collect::<Vec<_>>()
        .try_into()
        .unwrap()
}

#[test]
fn an_exchange_takes_what_the_specification_says() {
    assert_eq!(
        sizes(Suite::X25519ChaCha20Poly1305),
        [260, 256, 254, 254, 1336, 1336]
    );
    assert_eq!(
        sizes(Suite::X25519Aes256Gcm),
        sizes(Suite::X25519ChaCha20Poly1305)
    );
    assert_eq!(
        sizes(Suite::X25519MlKem768ChaCha20Poly1305),
        [1444, 2528, 2526, 2526, 3608, 3608]
    );
}
