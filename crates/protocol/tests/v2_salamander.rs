//! An "invisible salamander": one ChaCha20-Poly1305 ciphertext that opens under two keys
//! (Grubbs, Lu and Ristenpart, CRYPTO 2017; Dodis et al., CRYPTO 2018). Poly1305's tag
//! is a polynomial in the ciphertext's blocks (RFC 8439, section 2.5), so two free blocks
//! make two tags whatever is wanted.

use chacha20::{
    ChaCha20,
    cipher::{KeyIvInit, StreamCipher},
};
use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit, Tag};
use num_bigint::BigUint;

/// Bytes of what [`find`] gives.
pub const LEN: usize = 64 + 16;

fn prime() -> BigUint {
    (BigUint::from(1u8) << 130) - 5u8
}

/// Poly1305's two halves of a key, for one nonce (RFC 8439, section 2.6).
fn one_time(key: &[u8; 32], nonce: &[u8; 12]) -> (BigUint, BigUint) {
    let mut block = [0u8; 32];
    ChaCha20::new(key.into(), nonce.into()).apply_keystream(&mut block);
    let clamp =
        (BigUint::from(0x0fff_fffc_0fff_fffcu64) << 64) | BigUint::from(0x0fff_fffc_0fff_ffffu64);
    let r = BigUint::from_bytes_le(&block[..16]) & clamp;
    (r, BigUint::from_bytes_le(&block[16..]))
}

fn block(bytes: &[u8]) -> BigUint {
    BigUint::from_bytes_le(bytes) + (BigUint::from(1u8) << 128)
}

/// A ciphertext of four blocks, and its tag, that opens under both keys.
pub fn find(keys: [[u8; 32]; 2], nonce: &[u8; 12], ad: &[u8]) -> Vec<u8> {
    let p = prime();
    let [(r, s), (q, z)] = keys.map(|key| one_time(&key, nonce));
    let mut fixed: Vec<BigUint> = ad
        .chunks(16)
        .map(|chunk| {
            let mut padded = [0u8; 16];
            padded[..chunk.len()].copy_from_slice(chunk);
            block(&padded)
        })
        .collect();
    let mut lengths = [0u8; 16];
    lengths[..8].copy_from_slice(&(ad.len() as u64).to_le_bytes());
    lengths[8..].copy_from_slice(&64u64.to_le_bytes());
    let lengths = block(&lengths);
    // Blocks: ad, two that vary, two that are solved for, the lengths.
    for trial in 0u64.. {
        let mut varied = [0u8; 32];
        varied[..8].copy_from_slice(&trial.to_le_bytes());
        let heads: Vec<BigUint> = varied.chunks(16).map(block).collect();
        fixed.extend(heads);
        let target = BigUint::from(trial) + 12345u32;
        // tag = polynomial + s, so the polynomial is to be tag - s for either key.
        let constant = |r: &BigUint, s: &BigUint| {
            let known = fixed
                .iter()
                .fold(BigUint::ZERO, |sum, block| (sum + block) * r % &p);
            let known = known * r % &p * r % &p * r % &p + &lengths * r;
            let wanted = ((BigUint::from(1u8) << 128) + &target - s) % (BigUint::from(1u8) << 128);
            (wanted + (&p << 8) - known % &p) % &p
        };
        let (a, b) = (constant(&r, &s), constant(&q, &z));
        fixed.truncate(fixed.len() - 2);
        // x r^3 + y r^2 = a, x q^3 + y q^2 = b.
        let (r2, q2) = (&r * &r % &p, &q * &q % &p);
        let (r3, q3) = (&r2 * &r % &p, &q2 * &q % &p);
        let determinant = (&r3 * &q2 + &p * &p - &q3 * &r2) % &p;
        let Some(inverse) = determinant.modinv(&p) else {
            continue;
        };
        let x: BigUint = (&a * &q2 + &p * &p - &b * &r2) % &p * &inverse % &p;
        let y: BigUint = (&r3 * &b + &p * &p - &q3 * &a) % &p * &inverse % &p;
        // A block's 129th bit is set, and none above it.
        let one = BigUint::from(1u8);
        if [&x, &y].iter().any(|block| *block >> 128 != one) {
            continue;
        }
        let mut sealed = varied.to_vec();
        for solved in [x, y] {
            let mut bytes = solved.to_bytes_le();
            bytes.truncate(16);
            sealed.extend_from_slice(&bytes);
        }
        let mut tag = target.to_bytes_le();
        tag.resize(16, 0);
        sealed.extend_from_slice(&tag);
        if keys
            .iter()
            .all(|key| open(key, nonce, ad, &sealed).is_some())
        {
            return sealed;
        }
    }
    unreachable!("one trial in sixteen succeeds")
}

/// Opens with the bare cipher.
pub fn open(key: &[u8; 32], nonce: &[u8; 12], ad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (content, tag) = sealed.split_at(sealed.len() - 16);
    let mut content = content.to_vec();
    let tag = Tag::try_from(tag).ok()?;
    let cipher = ChaCha20Poly1305::new(key.into());
    cipher
        .decrypt_inout_detached(nonce.into(), ad, content.as_mut_slice().into(), &tag)
        .ok()?;
    Some(content)
}
