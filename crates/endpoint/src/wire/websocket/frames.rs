//! Where one direction of a WebSocket stands, by the headers of its frames (RFC 6455, section 5.2).

/// Bytes of the longest header: two, eight of a length, four of a mask.
const LONGEST: usize = 2 + 8 + 4;
/// The opcode of a frame that closes.
const CLOSE: u8 = 8;

/// One direction, of which nothing is kept but where it stands.
#[derive(Default)]
pub struct Frames {
    header: [u8; LONGEST],
    /// How much of the next frame's header has come.
    have: usize,
    /// How much of the present frame's content is still to come.
    left: u64,
    closed: bool,
}

impl Frames {
    /// These bytes have passed.
    pub fn pass(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                let skip = self.left.min(length);
                self.left -= skip;
                // No more than there is.
                let skip = usize::try_from(skip).unwrap_or(bytes.len());
                bytes = bytes.get(skip..).unwrap_or_default();
                continue;
            }
            bytes = rest;
            // A header is complete before there is no room.
            if let Some(place) = self.header.get_mut(self.have) {
                *place = *first;
                self.have += 1;
            }
            if let Some(length) = self.length() {
                self.closed |= self.header[0] & 0x0f == CLOSE;
                (self.left, self.have) = (length, 0);
            }
        }
    }

    /// Whether a frame that closes can follow: none has, and no other one is under way.
    pub fn may_close(&self) -> bool {
        self.have == 0 && self.left == 0 && !self.closed
    }

    /// How long the content is whose header has come.
    fn length(&self) -> Option<u64> {
        let header = self.header.get(..self.have)?;
        let second = *header.get(1)?;
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        let length = header.get(2..2 + extended)?;
        header.get(..2 + extended + mask)?;
        Some(match extended {
            0 => u64::from(second & 0x7f),
            _ => length
                .iter()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A frame as its sender writes it.
    fn frame(opcode: u8, length: usize, masked: bool) -> Vec<u8> {
        let mut out = vec![0x80 | opcode];
        let mask = if masked { 0x80 } else { 0 };
        match length {
            0..126 => out.push(mask | length as u8),
            126..65_536 => {
                out.push(mask | 126);
                out.extend_from_slice(&(length as u16).to_be_bytes());
            }
            _ => {
                out.push(mask | 127);
                out.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        out.extend_from_slice(if masked { &[9; 4] } else { &[] });
        out.resize(out.len() + length, 0x88);
        out
    }

    proptest! {
        #[test]
        fn a_direction_may_be_closed_between_its_frames_alone(
            frames in prop::collection::vec((0..3u8, 0..70_000usize, any::<bool>()), 1..5),
            cuts in prop::collection::vec(1..5_000usize, 1..50),
        ) {
            let mut wire = Vec::new();
            let mut ends = vec![0];
            for (opcode, length, masked) in frames {
                wire.extend(frame(opcode, length, masked));
                ends.push(wire.len());
            }
            let (mut direction, mut passed) = (Frames::default(), 0);
            for cut in cuts {
                prop_assert_eq!(direction.may_close(), ends.contains(&passed));
                let end = wire.len().min(passed + cut);
                direction.pass(&wire[passed..end]);
                passed = end;
            }
            direction.pass(&wire[passed..]);
            prop_assert!(direction.may_close());
            direction.pass(&frame(CLOSE, 2, false));
            prop_assert!(!direction.may_close(), "it is closed");
        }

        #[test]
        fn whatever_comes_is_passed_over(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
            let (mut whole, mut parts) = (Frames::default(), Frames::default());
            whole.pass(&bytes);
            for byte in &bytes {
                parts.pass(&[*byte]);
            }
            prop_assert_eq!(whole.may_close(), parts.may_close());
        }
    }
}
