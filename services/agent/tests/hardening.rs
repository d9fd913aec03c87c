//! The enclave's process as the kernel sees it.

use std::process::Command;

use crate::common::{ends, privileged, proc, read};

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
    if rustix::process::geteuid().is_root() {
        return as_nobody("hardening::a_user_of_the_same_id_cannot_look_into_the_enclave");
    }
    let ends = ends(1).await;
    ends.consumer.identity().await.unwrap();
    let pid = ends.processes[0].id().unwrap();
    // The kernel gives what belongs to a process that is not dumpable to root.
    use std::os::unix::fs::MetadataExt;
    let owner = std::fs::metadata(proc(pid, "mem")).unwrap().uid();
    assert_eq!(owner, 0);
    assert!(std::fs::File::open(proc(pid, "mem")).is_err());
}

/// Runs one of these tests as a user who may do nothing in particular: root may look anywhere.
fn as_nobody(test: &str) {
    let ran = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    if matches!(ran.status.code(), Some(126 | 127)) {
        // The folder that this was built in is root's own.
        eprintln!("NOT TRIED: {test} as nobody: {said}");
        return;
    }
    assert!(
        ran.status.success() && said.contains("1 passed"),
        "{test}: {said}"
    );
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
