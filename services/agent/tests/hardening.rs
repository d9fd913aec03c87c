//! The enclave's process as the kernel sees it, and what its memory holds.

use std::{collections::BTreeMap, os::unix::fs::FileExt, path::PathBuf, process::Command};

use crate::common::{Ends, LANE, MINTED, accept, ends};
use armour_enclave::binding::LaneId;

fn proc(pid: u32, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{name}"))
}

fn read(pid: u32, name: &str) -> String {
    std::fs::read_to_string(proc(pid, name)).unwrap()
}

/// Whether we may look into a process that forbids it to its own user.
fn privileged() -> bool {
    let privileged = rustix::process::geteuid().is_root();
    if !privileged {
        eprintln!("not root: an enclave's memory cannot be looked into, which is the point");
    }
    privileged
}

#[tokio::test]
async fn the_kernel_holds_the_enclave_to_what_it_gave_up() {
    let ends = ends(1).await;
    let hardening = ends.consumer.hardening().await.unwrap();
    assert!(hardening.missing.is_empty(), "{hardening:?}");
    assert_eq!(hardening.in_force.len(), 4, "{hardening:?}");
    let pid = ends.processes[0].id().unwrap();
    let status = read(pid, "status");
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    assert!(status.contains("Seccomp:\t2"), "{status}");
    assert!(status.contains("Threads:\t1"), "{status}");
    let limits = read(pid, "limits");
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert!(core.split_whitespace().nth(4) == Some("0"), "{core}");
    if privileged() {
        let locked = status
            .lines()
            .find_map(|line| line.strip_prefix("VmLck:"))
            .unwrap();
        assert_ne!(locked.trim(), "0 kB");
        // No file of its folder is open any more, the keys' least of all.
        let folder = ends.dir.path().display().to_string();
        for file in std::fs::read_dir(proc(pid, "fd")).unwrap() {
            let file = std::fs::read_link(file.unwrap().path()).unwrap();
            assert!(!file.starts_with(&folder), "{}", file.display());
        }
        assert!(read(pid, "environ").is_empty());
    }
}

#[tokio::test]
async fn a_user_of_the_same_id_cannot_look_into_the_enclave() {
    let ends = ends(1).await;
    ends.consumer.identity().await.unwrap();
    let pid = ends.processes[0].id().unwrap();
    // The kernel gives what belongs to a process that is not dumpable to root.
    use std::os::unix::fs::MetadataExt;
    let owner = std::fs::metadata(proc(pid, "mem")).unwrap().uid();
    assert_eq!(owner, 0);
    if rustix::process::geteuid().is_root() {
        return;
    }
    assert!(std::fs::File::open(proc(pid, "mem")).is_err());
}

/// A process that has been made to do what the enclave may not, is ended by the kernel.
#[tokio::test]
async fn a_system_call_that_the_enclave_does_not_need_ends_it() {
    if !privileged() {
        return;
    }
    let mut ends = ends(1).await;
    ends.consumer.identity().await.unwrap();
    let pid = ends.processes[0].id().unwrap();
    // As an exploit would: a debugger has the enclave's own thread open a socket.
    let gdb = Command::new("gdb")
        .args(["-batch", "-nx", "-p", &pid.to_string()])
        .args(["-ex", "call (int)socket(2, 1, 0)"])
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&gdb.stdout).into_owned() + &String::from_utf8_lossy(&gdb.stderr);
    assert!(said.contains("SIGSYS"), "{said}");
    let ended = ends.processes[0].wait().await.unwrap();
    assert!(!ended.success());
    assert!(ends.consumer.identity().await.is_err());
}

#[tokio::test]
async fn an_enclave_whose_proxy_has_gone_ends_by_itself() {
    let mut ends = ends(1).await;
    ends.consumer.identity().await.unwrap();
    drop(ends.consumer);
    let ended = ends.processes[0].wait().await.unwrap();
    assert!(ended.success(), "{ended}");
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
#[cfg(feature = "clone-demo")]
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

#[cfg(feature = "clone-demo")]
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
