//! What the enclave's memory holds: no secret that is spent.

use std::{collections::BTreeMap, os::unix::fs::FileExt};

use armour_enclave::binding::LaneId;

use crate::common::{Ends, LANE, MINTED, accept, ends, privileged, proc, read};

#[tokio::test]
async fn spent_secrets_are_in_no_enclaves_memory() {
    if !privileged() {
        return;
    }
    for suite in [1, 2] {
        let ends = ends(suite).await;
        let mut spent = Vec::new();
        for round in 0..12 {
            for number in 0..4 {
                let lane = LaneId {
                    lane: number,
                    ..LANE
                };
                exchange(&ends, lane, &mut spent).await;
            }
            // Every other time: what is taken out of an enclave is copied on its way.
            if round % 2 == 0 {
                spent.extend(roots(&ends).await);
            }
        }
        let alive = roots(&ends).await;
        let [consumer, producer] = [0, 1].map(|at| ends.processes[at].id().unwrap());
        let minted = [("minted secret".to_owned(), MINTED)];
        // The search finds what is there: else it would prove nothing.
        for pid in [consumer, producer] {
            let memory = memory(pid);
            assert_eq!(found(&memory, &alive).len(), alive.len());
            assert_eq!(found(&memory, &minted).len(), 1);
            let left = found(&memory, &spent);
            assert!(left.is_empty(), "suite {suite}, process {pid}: {left:#?}");
        }
        println!("suite {suite}: none of {} spent secrets found", spent.len());
        for end in [&ends.consumer, &ends.producer] {
            end.erase(LANE.bundle).await.unwrap();
        }
        for pid in [consumer, producer] {
            let memory = memory(pid);
            let left = found(&memory, &[&alive[..], &minted[..]].concat());
            assert!(left.is_empty(), "suite {suite}, erased, {pid}: {left:#?}");
        }
    }
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
            .map(|region| {
                let starts = region.windows(8).enumerate();
                starts
                    .filter(|(at, start)| {
                        *start == &secret[..8] && region.get(*at..at + 32) == Some(&secret[..])
                    })
                    .count()
            })
            .sum();
        if times > 0 {
            found.insert(name.clone(), times);
        }
    }
    found
}

async fn exchange(ends: &Ends, lane: LaneId, spent: &mut Vec<(String, [u8; 32])>) {
    let request = ends.consumer.begin(lane, Some([7; 32])).await.unwrap();
    accept(ends, lane, &request).await;
    let response = ends.producer.respond(lane, None).await.unwrap();
    ends.consumer
        .receive(lane, response.head.clone())
        .await
        .unwrap();
    let number = spent.len();
    spent.push((format!("key {number}, request"), *request.key.0));
    spent.push((format!("key {number}, response"), *response.key.0));
}

/// A lane's first roots, which both ends derive from the minted secret.
async fn roots(ends: &Ends) -> Vec<(String, [u8; 32])> {
    let stolen = ends.consumer.export(LANE.bundle).await.unwrap();
    let mut roots = Vec::new();
    for lane in &stolen.lanes {
        let at = format!("lane {}, before exchange {}", lane.lane, lane.next);
        roots.push((format!("{at}, consumer's root"), lane.consumer_root));
        roots.push((format!("{at}, producer's root"), lane.producer_root));
    }
    roots
}
