//! What the enclave's memory holds: no secret that is spent.

use std::{collections::BTreeMap, os::unix::fs::FileExt};

use memchr::memmem;

use crate::common::{BUNDLE, Ends, MINTED, ends, exchange, lane, open, privileged, proc, read};

#[tokio::test]
async fn spent_secrets_are_in_no_enclaves_memory() {
    if !privileged() {
        return;
    }
    for suite in [1, 2, 3] {
        let ends = ends(suite).await;
        let mut spent = vec![("minted secret".to_owned(), MINTED)];
        for _ in 0..4 {
            open(&ends).await;
        }
        for round in 0..12 {
            for number in 0..4 {
                let keys = exchange(&ends, lane(number), &[round; 8], &[round; 8]).await;
                let at = format!("round {round}, lane {number}");
                for (which, keys) in [("request", keys.request), ("response", keys.response)] {
                    let (key, blinding) = one_time(&keys);
                    spent.push((format!("{at}, {which}'s key"), key));
                    spent.push((format!("{at}, {which}'s blinding"), blinding));
                }
            }
            // Every other time: what is taken out of an enclave is copied on its way.
            if round % 2 == 0 {
                spent.extend(roots(&ends).await);
            }
        }
        let alive = roots(&ends).await;
        let [consumer, producer] = [0, 1].map(|at| ends.processes[at].id().unwrap());
        // The search finds what is there: else it would prove nothing.
        for pid in [consumer, producer] {
            let memory = memory(pid);
            assert_eq!(found(&memory, &alive).len(), alive.len());
            let left = found(&memory, &spent);
            assert!(left.is_empty(), "suite {suite}, process {pid}: {left:#?}");
        }
        println!("suite {suite}: none of {} spent secrets found", spent.len());
        let marks = ends.producer.retire(BUNDLE).await.unwrap();
        for end in [&ends.consumer, &ends.producer] {
            end.end(BUNDLE).await.unwrap();
        }
        for pid in [consumer, producer] {
            let memory = memory(pid);
            let left = found(&memory, &alive);
            assert!(left.is_empty(), "suite {suite}, ended, {pid}: {left:#?}");
        }
        assert_eq!(ends.producer.retire(BUNDLE).await.unwrap(), marks);
    }
}

/// The long-term key signs the start and is gone from memory.
#[tokio::test]
async fn the_long_term_key_is_gone_once_it_has_signed() {
    if !privileged() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_armour-agent"));
    let (enclave, child) = armour_enclave::Enclave::start(program, &keys, None).unwrap();
    enclave.identity().await.unwrap();
    let file = std::fs::read(&keys).unwrap();
    let signing = [("signing key".to_owned(), file[..32].try_into().unwrap())];
    let kem = [("KEM key".to_owned(), file[32..64].try_into().unwrap())];
    let pid = child.id().unwrap();
    assert_eq!(found(&memory(pid), &signing).len(), 1);
    assert!(found(&memory(pid), &kem).is_empty());
    enclave.begin_start([4; 16], None).await.unwrap();
    enclave.identity().await.unwrap();
    assert!(found(&memory(pid), &signing).is_empty());
}

/// A message's key, and the random bytes in front of its content, as they cross the
/// enclave's door.
fn one_time(keys: &[u8]) -> ([u8; 32], [u8; 32]) {
    let (rest, blinding) = keys.split_last_chunk().unwrap();
    let (_, key) = rest.split_last_chunk().unwrap();
    (*key, *blinding)
}

/// What a process has in memory that it may write.
fn memory(pid: u32) -> Vec<Vec<u8>> {
    let maps = read(pid, "maps");
    let file = std::fs::File::open(proc(pid, "mem")).unwrap();
    let mut regions = Vec::new();
    for line in maps.lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        if !rest.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let from = u64::from_str_radix(from, 16).unwrap();
        let to = u64::from_str_radix(to, 16).unwrap();
        let mut region = vec![0; (to - from) as usize];
        if file.read_exact_at(&mut region, from).is_ok() {
            regions.push(region);
        }
    }
    assert!(!regions.is_empty());
    regions
}

/// How often each of some secrets is in memory.
fn found(memory: &[Vec<u8>], secrets: &[(String, [u8; 32])]) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for (name, secret) in secrets {
        let times = memory
            .iter()
            .map(|region| memmem::find_iter(region, secret).count())
            .sum();
        if times > 0 {
            found.insert(name.clone(), times);
        }
    }
    found
}

/// The open lanes' roots, which both ends have.
async fn roots(ends: &Ends) -> Vec<(String, [u8; 32])> {
    let stolen = ends.consumer.export(BUNDLE).await.unwrap();
    let mut roots = Vec::new();
    for lane in &stolen.lanes {
        let (_, rest) = lane.state.split_first_chunk::<2>().unwrap();
        let at = format!("lane {}", lane.lane);
        let (consumer, rest) = rest.split_first_chunk().unwrap();
        let (producer, _) = rest.split_first_chunk().unwrap();
        roots.push((format!("{at}, consumer's root"), *consumer));
        roots.push((format!("{at}, producer's root"), *producer));
    }
    roots
}
