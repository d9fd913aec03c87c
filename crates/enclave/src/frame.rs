//! Frames on the socket: a 4-byte big-endian length, an 8-byte number, and what is said.
//! A call's is authenticated ([`crate::door`]).

use std::io::{self, Read, Write};

use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

/// Largest frame, in bytes: a link that retires bundles with all their lanes, or what one
/// bundle's lanes came to.
pub(crate) const MAX_FRAME: usize = 8 * 1024 * 1024;
/// Bytes that every frame with a secret in it fits into, but for stolen states: a head of
/// suite 2 is the largest part.
const WITH_SECRETS: usize = 4 * 1024;
/// The number of the reply that answers no call: the enclave ends, for somebody else was
/// at its socket.
pub(crate) const LAST: u64 = u64::MAX;

/// Encodes what is said; it may hold a key and is erased when dropped.
///
/// # Errors
/// If it is too large.
pub(crate) fn encode<T: Serialize>(message: &T) -> io::Result<Zeroizing<Vec<u8>>> {
    // Large enough for whatever holds a secret: growing would leave copies behind.
    let body = Vec::with_capacity(WITH_SECRETS);
    postcard::to_extend(message, body)
        .map(Zeroizing::new)
        .map_err(io::Error::other)
}

/// Decodes what is said.
///
/// # Errors
/// If it is malformed.
pub(crate) fn decode<T: DeserializeOwned>(body: &[u8]) -> io::Result<T> {
    postcard::from_bytes(body).map_err(io::Error::other)
}

/// A frame of these parts.
///
/// # Errors
/// If it is too large.
pub(crate) fn frame(number: u64, parts: &[&[u8]]) -> io::Result<Zeroizing<Vec<u8>>> {
    let length = 8 + parts.iter().map(|part| part.len()).sum::<usize>();
    if length > MAX_FRAME {
        return Err(io::Error::other("frame too large"));
    }
    let mut frame = Zeroizing::new(Vec::with_capacity(4 + length));
    frame.extend_from_slice(&(length as u32).to_be_bytes());
    frame.extend_from_slice(&number.to_be_bytes());
    parts.iter().for_each(|part| frame.extend_from_slice(part));
    Ok(frame)
}

/// Reads a frame: its number and what follows.
///
/// # Errors
/// If the socket is closed; [`io::ErrorKind::InvalidData`] for a length that no frame has.
pub(crate) fn read(socket: &mut impl Read) -> io::Result<(u64, Zeroizing<Vec<u8>>)> {
    let mut prefix = [0; 12];
    socket.read_exact(&mut prefix)?;
    let (length, number) = split_prefix(&prefix)?;
    let mut body = Zeroizing::new(vec![0; length]);
    socket.read_exact(&mut body)?;
    Ok((number, body))
}

/// How many bytes follow a frame's first twelve, and its number.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] for a length that no frame has.
pub(crate) fn split_prefix(prefix: &[u8; 12]) -> io::Result<(usize, u64)> {
    let [l0, l1, l2, l3, number @ ..] = *prefix;
    let length = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
    match (8..=MAX_FRAME).contains(&length) {
        true => Ok((length - 8, u64::from_be_bytes(number))),
        false => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Writes a reply.
///
/// # Errors
/// If the socket is closed or the reply too large.
pub(crate) fn write<T: Serialize>(
    socket: &mut impl Write,
    number: u64,
    message: &T,
) -> io::Result<()> {
    socket.write_all(&frame(number, &[&encode(message)?])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_as_it_was_written() {
        let frame = frame(7, &[b"ab", b"c"]).unwrap();
        let (number, body) = read(&mut &frame[..]).unwrap();
        assert_eq!((number, &body[..]), (7, &b"abc"[..]));
        assert!(read(&mut &frame[..frame.len() - 1]).is_err());
    }

    #[test]
    fn lengths_are_bounded() {
        for length in [0u32, 7, MAX_FRAME as u32 + 1, u32::MAX] {
            let mut prefix = [0; 12];
            prefix[..4].copy_from_slice(&length.to_be_bytes());
            let error = split_prefix(&prefix).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
        assert!(super::frame(0, &[&vec![0; MAX_FRAME]]).is_err());
    }
}
