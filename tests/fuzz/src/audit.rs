//! The offline verifier of an exported audit log: it takes no log but the one that was
//! signed, however the export was changed.

use std::sync::LazyLock;

use armour_api::{AuditEntry, ExportEnd, ExportHeader, ExportedEntry};
use armour_transparency::{
    entry,
    export::{FORMAT, Verifier},
    head::TreeHead,
    map::EMPTY,
    merkle::Frontier,
    rotation::{ROTATE, Rotation},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::DateTime;
use ed25519_dalek::SigningKey;
use uuid::Uuid;

static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_bytes(&[4; 32]));
/// Follows it after the third entry.
static NEXT: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_bytes(&[5; 32]));
static GENUINE: LazyLock<String> = LazyLock::new(genuine);

fn genuine() -> String {
    let tenant = Uuid::from_bytes([8; 16]);
    let mut edge = Frontier::new(0, &[]).unwrap();
    let rotation = Rotation {
        tenant,
        number: 1,
        size: 3,
        at: DateTime::from_timestamp(1_700_000_004, 0).unwrap(),
        old: KEY.verifying_key(),
        new: NEXT.verifying_key(),
    };
    let rotation = rotation.to_wire(&rotation.sign(&KEY), &rotation.sign(&NEXT));
    let header = ExportHeader {
        format: FORMAT.into(),
        tenant_id: tenant,
        log_key: rotation.new_key.clone(),
        rotations: vec![rotation.clone()],
        first: 1,
        frontier: String::new(),
    };
    let mut lines = vec![serde_json::to_string(&header).unwrap()];
    let mut last = None;
    for seq in 1..=5 {
        let mut entry = AuditEntry {
            seq,
            actor: "token:x".into(),
            action: "pair.create".into(),
            target: format!("pair {seq}"),
            detail: serde_json::json!({ "n": seq, "why": "because" }),
            created_at: DateTime::from_timestamp(1_700_000_000 + seq, 0).unwrap(),
        };
        if seq == 4 {
            entry.action = ROTATE.into();
            entry.detail = serde_json::json!({
                "old_key": rotation.old_key, "new_key": rotation.new_key,
            });
        }
        edge.push(entry::leaf(tenant, &entry).unwrap());
        let head = TreeHead {
            tenant,
            size: edge.size(),
            root: edge.root(),
            at: entry.created_at,
            map_root: Some(EMPTY),
        };
        let key = if seq > 3 { &NEXT } else { &KEY };
        let signature = head.sign(key);
        last = Some(head.to_wire(&signature));
        let exported = ExportedEntry {
            entry,
            map_root: Some(STANDARD.encode(EMPTY)),
            signature: STANDARD.encode(signature),
        };
        lines.push(serde_json::to_string(&exported).unwrap());
    }
    let end = ExportEnd {
        head: last.unwrap(),
    };
    lines.push(serde_json::to_string(&end).unwrap());
    lines.join("\n")
}

fn entries(text: &str) -> Vec<AuditEntry> {
    let lines = text.lines().skip(1);
    let entries = lines.filter_map(|line| serde_json::from_str::<ExportedEntry>(line).ok());
    entries.map(|exported| exported.entry).collect()
}

/// The first byte says whether the rest is an export, or changes to a genuine one: bytes
/// (place, other value), or a line moved, repeated or left out.
pub fn run(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else {
        return;
    };
    let mut bytes = GENUINE.as_bytes().to_vec();
    match how % 3 {
        0 => bytes = rest.to_vec(),
        1 => {
            for change in rest.chunks_exact(3) {
                let place = usize::from(u16::from_be_bytes([change[0], change[1]]));
                let length = bytes.len();
                bytes[place % length] ^= change[2];
            }
        }
        _ => {
            let mut lines: Vec<&str> = GENUINE.lines().collect();
            for change in rest.chunks_exact(3) {
                let [what, from, to] = [0, 1, 2].map(|at| usize::from(change[at]));
                if lines.is_empty() {
                    break;
                }
                let line = lines[from % lines.len()];
                match what % 3 {
                    0 => drop(lines.remove(from % lines.len())),
                    1 => lines.insert(to % lines.len(), line),
                    _ => {
                        let length = lines.len();
                        lines.swap(from % length, to % length);
                    }
                }
            }
            bytes = lines.join("\n").into_bytes();
        }
    }
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return;
    };
    let mut lines = text.lines();
    let trusted = KEY.verifying_key();
    let Ok(mut verifier) = Verifier::begin(lines.next().unwrap_or(""), Some(&trusted)) else {
        return;
    };
    if !lines.all(|line| verifier.line(line).is_ok()) {
        return;
    }
    if let Ok(verified) = verifier.finish() {
        assert_eq!((verified.first, verified.entries), (1, 5));
        assert_eq!(
            entries(text),
            entries(&GENUINE),
            "a changed log was verified"
        );
    }
}
