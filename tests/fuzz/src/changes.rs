//! How a fuzzer's bytes become a message: as they are, or as changes to a genuine one,
//! which random bytes would never come near.

/// The first byte says how the rest is used: 0 as a message of its own; 1 as changes to
/// the genuine message whose number is the second byte, each three bytes (place, other
/// value); 2 moves a part of it elsewhere (from, length, to, two bytes each); 3 cuts it
/// (length, two bytes) and appends what follows. None for too few bytes.
pub fn message(data: &[u8], genuine: &[Vec<u8>]) -> Option<Vec<u8>> {
    let (how, rest) = data.split_first()?;
    if how % 4 == 0 {
        return Some(rest.to_vec());
    }
    let (which, rest) = rest.split_first()?;
    let mut message = genuine.get(usize::from(*which) % genuine.len())?.clone();
    let number = |two: &[u8]| usize::from(u16::from_be_bytes([two[0], two[1]]));
    match how % 4 {
        1 => {
            for change in rest.chunks_exact(3) {
                let place = number(change) % message.len();
                message[place] ^= change[2];
            }
        }
        2 => {
            let [a, b, c, d, e, f, ..] = *rest else {
                return None;
            };
            let from = number(&[a, b]) % message.len();
            let end = (from + number(&[c, d])).min(message.len());
            let part: Vec<u8> = message.drain(from..end).collect();
            let to = number(&[e, f]) % (message.len() + 1);
            message.splice(to..to, part);
        }
        _ => {
            let (length, more) = rest.split_first_chunk::<2>()?;
            message.truncate(number(length));
            message.extend_from_slice(more);
        }
    }
    Some(message)
}

/// Inputs to start from: each genuine message as it is, changed, moved about and cut.
pub fn seeds(genuine: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let each = (0u8..).zip(genuine).flat_map(|(which, message)| {
        let middle = (message.len() / 2).to_be_bytes();
        let [.., high, low] = middle;
        [
            [&[0], &message[..]].concat(),
            vec![1, which],
            vec![1, which, high, low, 1],
            vec![2, which, 0, 0, 0, 4, high, low],
            vec![3, which, high, low],
            vec![3, which, 0xff, 0xff, 0],
        ]
    });
    each.collect()
}
