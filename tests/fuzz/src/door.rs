//! What crosses an enclave's door: claims, conclusions, one-time keys and checkpoints. An
//! enclave reads them whoever is behind the door.

use std::cell::RefCell;

use armour_protocol::v2::{
    checkpoint::{CheckpointClaim, Mark},
    content::ContentClaim,
    enclave::{
        After, Streaming,
        consumer::{Answered, Idle},
    },
    message::{Request, Response},
    proxy::{Conclusion, Incoming, Outgoing},
    suite::Suite,
};

use crate::{
    changes,
    stage::{NOW, Stage, first, whole},
};

struct Door {
    /// A consumer's lane whose response is a stream that has ended.
    lane: Option<Streaming<Idle>>,
    /// The response's last checkpoint.
    last: Vec<u8>,
    genuine: Vec<Vec<u8>>,
}

thread_local! {
    static DOOR: RefCell<Door> = RefCell::new(door());
}

fn door() -> Door {
    let mut stage = Stage::new(Suite::X25519ChaCha20Poly1305);
    let (idle, ready, _, _) = stage.opened();
    let claim = whole(b"request").claim();
    let called = stage.call(idle, ready, b"request");
    let head = first(b"200");
    let conclusion = stage.conclusion(&called, &head);
    let mut genuine = vec![
        claim.to_bytes().to_vec(),
        conclusion.to_bytes(),
        called.incoming.to_bytes().to_vec(),
    ];
    let replied = stage.reply(called.answering, conclusion);
    genuine.push(replied.outgoing.to_bytes().to_vec());
    let received = called.waiting.receive(&replied.receipt, NOW);
    let received = received.map_err(|(_, error)| error).unwrap();
    let (After::Streaming(lane), Answered::Content(incoming)) = (received.lane, received.answer)
    else {
        panic!("the response is a stream");
    };
    genuine.push(incoming.to_bytes().to_vec());
    let mut wire = Vec::new();
    let writer = head.seal(replied.outgoing, &mut wire).unwrap();
    let due = writer.finish(Mark::NONE);
    genuine.push(due.claim().to_bytes().to_vec());
    let After::Streaming(mut theirs) = replied.ready else {
        panic!("the response is a stream");
    };
    let signed = theirs.checkpoint(due.claim()).unwrap();
    let last = signed.sign(&stage.producer).to_bytes();
    genuine.push(last.clone());
    Door {
        lane: Some(lane),
        last,
        genuine,
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    DOOR.with_borrow(|door| changes::seeds(&door.genuine))
}

pub fn run(data: &[u8]) {
    DOOR.with_borrow_mut(|door| {
        let Some(bytes) = changes::message(data, &door.genuine) else {
            return;
        };
        let same = |written: &[u8]| assert_eq!(written, bytes);
        let _ = ContentClaim::from_bytes(&bytes).map(|it| same(&it.to_bytes()));
        let _ = CheckpointClaim::from_bytes(&bytes).map(|it| same(&it.to_bytes()));
        let _ = Conclusion::from_bytes(&bytes).map(|it| same(&it.to_bytes()));
        let _ = Outgoing::<Request>::from_bytes(&bytes).map(|it| same(&it.to_bytes()));
        let _ = Outgoing::<Response>::from_bytes(&bytes).map(|it| same(&it.to_bytes()));
        let _ = Incoming::<Request>::from_bytes(&bytes).map(|it| same(&it.to_bytes()));
        let _ = Incoming::<Response>::from_bytes(&bytes).map(|it| same(&it.to_bytes()));
        // A stream ends by its own last checkpoint alone.
        let lane = door.lane.take().unwrap();
        let Ok(checkpoint) = lane.read_checkpoint(&bytes) else {
            assert!(bytes != door.last, "the genuine checkpoint was refused");
            door.lane = Some(lane);
            return;
        };
        same(&checkpoint.to_bytes());
        match lane.finish(Some(&checkpoint)) {
            Ok(_) => {
                assert_eq!(bytes, door.last, "a changed checkpoint ended a stream");
                *door = self::door();
            }
            Err((lane, _)) => {
                assert!(bytes != door.last, "the genuine checkpoint was refused");
                door.lane = Some(*lane);
            }
        }
    });
}
