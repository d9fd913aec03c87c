//! A real lane under damaged messages: whatever comes, only the genuine one is taken,
//! and it is taken whatever came before.

use std::{cell::RefCell, sync::Arc};

use armour_protocol::{
    Suite,
    bundle::{BundleContext, BundleSecret},
    consumer::IdleLane,
    message::{RequestHead, ResponseHead},
    producer::{ReadyLane, Standing},
};
use ed25519_dalek::SigningKey;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

pub fn context() -> (Arc<BundleContext>, BundleSecret, SigningKey, SigningKey) {
    let [consumer, producer] = [1, 2].map(|seed| SigningKey::from_bytes(&[seed; 32]));
    let context = BundleContext {
        suite: Suite::X25519,
        tenant: [0x10; 16],
        pair: [0x11; 16],
        bundle: [0x12; 16],
        consumer: [0x13; 16],
        producer: [0x14; 16],
        consumer_key: consumer.verifying_key(),
        producer_key: producer.verifying_key(),
    };
    (
        Arc::new(context),
        BundleSecret::from_bytes([7; 32]),
        consumer,
        producer,
    )
}

struct Stage {
    ready: Option<ReadyLane>,
    genuine: Vec<u8>,
}

thread_local! {
    /// A lane after two exchanges, and its third request; kept, for nothing may change it.
    static STAGE: RefCell<Stage> = RefCell::new(stage());
}

fn stage() -> Stage {
    let (context, secret, signer, _) = context();
    let mut rng = ChaCha20Rng::from_seed([9; 32]);
    let mut idle = IdleLane::new(context.clone(), &secret, 0);
    let mut ready = ReadyLane::new(context, &secret, 0);
    for _ in 0..2 {
        let (waiting, request) = idle.begin(&signer, &mut rng).unwrap();
        let (answering, _) = ready.accept(request.head).map_err(|_| ()).unwrap();
        let (next, response) = answering.respond(&mut rng).unwrap();
        idle = waiting.receive(response.head).map_err(|_| ()).unwrap().0;
        ready = next;
    }
    let (_, request) = idle.begin(&signer, &mut rng).unwrap();
    Stage {
        ready: Some(ready),
        genuine: request.head.to_bytes(),
    }
}

/// The first byte says how the rest is used: as a message of its own, or as changes to
/// the genuine one (place, other value).
pub fn run(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else {
        return;
    };
    STAGE.with_borrow_mut(|stage| {
        let mut message = stage.genuine.clone();
        if how % 2 == 0 {
            message = rest.to_vec();
        } else {
            for change in rest.chunks_exact(3) {
                let place = usize::from(u16::from_be_bytes([change[0], change[1]]));
                let length = message.len();
                message[place % length] ^= change[2];
            }
        }
        let _ = ResponseHead::from_bytes(&message);
        let Ok(head) = RequestHead::from_bytes(&message) else {
            return;
        };
        let ready = stage.ready.take().unwrap();
        let genuine = message == stage.genuine;
        match ready.judge(&head.ticket) {
            Ok(Standing::Next) => {}
            Ok(standing) => panic!("somebody else's ticket has a standing: {standing:?}"),
            Err(_) => assert!(!genuine),
        }
        match ready.accept(head) {
            Ok(_) => {
                assert!(genuine, "a changed message was accepted");
                *stage = self::stage();
            }
            Err((ready, _)) => {
                assert!(!genuine, "the genuine message was refused");
                stage.ready = Some(*ready);
            }
        }
    });
}
