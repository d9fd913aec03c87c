//! An endpoint's own word of its public keys, for whoever certifies them: what the control
//! plane says of them need not be true.

use std::{io, path::Path};

use armour_enclave::durable::{SHARED, write_whole};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;

/// Its name in the data folder; `armour party-keys sign --endpoint-keys` reads such files.
const FILE: &str = "public-keys.json";

/// Writes the long-term public keys into the data folder: Ed25519, then X25519. The file is
/// left alone if it says so already.
///
/// # Errors
/// If it cannot be written.
pub fn publish(folder: &Path, signing_key: &[u8; 32], kem_key: &[u8; 32]) -> io::Result<()> {
    let file = folder.join(FILE);
    let keys = json!({
        "signing_key": STANDARD.encode(signing_key),
        "kem_key": STANDARD.encode(kem_key),
    });
    let text = format!("{keys}\n");
    if std::fs::read(&file).is_ok_and(|written| written == text.as_bytes()) {
        return Ok(());
    }
    write_whole(&file, text.as_bytes(), SHARED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_says_the_keys_and_is_mended() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("public-keys.json");
        for written in [None, Some("half")] {
            if let Some(text) = written {
                std::fs::write(&file, text).unwrap();
            }
            publish(folder.path(), &[1; 32], &[2; 32]).unwrap();
            let said: serde_json::Value =
                serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
            assert_eq!(said["signing_key"], STANDARD.encode([1; 32]));
            assert_eq!(said["kem_key"], STANDARD.encode([2; 32]));
        }
        assert!(publish(&folder.path().join("gone"), &[1; 32], &[2; 32]).is_err());
    }
}
