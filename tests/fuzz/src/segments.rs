//! Whole content, sealed in one segment: what opens is what was sealed.

use armour_protocol::v2::{
    proxy::{Arrived, Incoming, MAX_SEGMENT, Pending, SEGMENT_HEADER_LEN, SegmentHeader},
    suite::Suite,
};

use crate::{
    changes,
    stage::{CLOCK, Called, Stage},
};

const CONTENT: &[u8] = b"GET /content that is padded";

/// One of each suite: what the enclave handed out, and the segment.
struct Genuine {
    stages: Vec<(Stage, Vec<u8>)>,
    segments: Vec<Vec<u8>>,
}

thread_local! {
    static GENUINE: Genuine = genuine();
}

fn genuine() -> Genuine {
    let mut genuine = Genuine {
        stages: Vec::new(),
        segments: Vec::new(),
    };
    for suite in Suite::ALL {
        let mut stage = Stage::new(suite);
        let (idle, ready, _, _) = stage.opened();
        let Called {
            incoming, sealed, ..
        } = stage.call(idle, ready, CONTENT);
        genuine.stages.push((stage, incoming.to_bytes().to_vec()));
        genuine.segments.push(sealed);
    }
    genuine
}

pub fn seeds() -> Vec<Vec<u8>> {
    GENUINE.with(|genuine| changes::seeds(&genuine.segments))
}

pub fn run(data: &[u8]) {
    GENUINE.with(|genuine| {
        let Some(bytes) = changes::message(data, &genuine.segments) else {
            return;
        };
        let Some((prefix, rest)) = bytes.split_first_chunk::<SEGMENT_HEADER_LEN>() else {
            return;
        };
        let Ok(header) = SegmentHeader::from_bytes(*prefix) else {
            assert!(
                !genuine.segments.contains(&bytes),
                "a genuine one was refused"
            );
            return;
        };
        let [_, high, middle, low] = (header.len as u32).to_be_bytes();
        assert_eq!([header.kind as u8, high, middle, low], *prefix);
        assert!(header.len <= MAX_SEGMENT);
        for ((stage, keys), segment) in genuine.stages.iter().zip(&genuine.segments) {
            let incoming = Incoming::from_bytes(keys).unwrap();
            let pending = Pending::new(stage.context.clone(), incoming);
            let received = pending.receive(header, rest);
            assert_eq!(received.is_ok(), bytes == *segment);
            if let Ok(undecided) = received {
                let Ok((_, Arrived::Whole(content))) = undecided.begin(CLOCK) else {
                    panic!("whole content that is not late begins");
                };
                assert_eq!(content.content(), CONTENT);
                let disclosed = *content.disclosure().unwrap();
                assert!(disclosed.padding.padded(CONTENT.len()) >= CONTENT.len());
            }
        }
    });
}
