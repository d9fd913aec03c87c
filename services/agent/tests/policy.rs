//! A kernel that cannot shut the enclave off: here one that says so, by a filter that the
//! agent inherits from the thread that starts it.

use std::process::Command;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// Starts an agent where these system calls do not exist; what it says.
fn start(policy: &'static str, missing: Vec<i64>) -> String {
    let starter = std::thread::spawn(move || {
        let rules = missing.into_iter().map(|call| (call, Vec::new()));
        let filter = SeccompFilter::new(
            rules.collect(),
            SeccompAction::Allow,
            SeccompAction::Errno(libc::ENOSYS as u32),
            std::env::consts::ARCH.try_into().unwrap(),
        );
        let program = BpfProgram::try_from(filter.unwrap()).unwrap();
        seccompiler::apply_filter(&program).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_armour-agent"))
            .args([
                "consumer",
                "--control-plane",
                "http://127.0.0.1:9",
                "--data-dir",
            ])
            .arg(dir.path())
            .args(["--enclave-hardening", policy])
            .output()
            .unwrap();
        // Neither is enrolled, so both end.
        assert!(!output.status.success());
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    });
    starter.join().unwrap()
}

#[test]
fn a_kernel_without_landlock_is_told_loudly_or_refused_by_policy() {
    let missing = vec![libc::SYS_landlock_create_ruleset];
    let warned = start("warn", missing.clone());
    assert!(warned.contains("THE ENCLAVE IS NOT SHUT OFF"), "{warned}");
    assert!(
        warned.contains("Landlock") && warned.contains("not enrolled"),
        "{warned}"
    );
    let refused = start("require", missing);
    assert!(refused.contains("--enclave-hardening=require"), "{refused}");
    assert!(
        refused.contains("Landlock") && !refused.contains("not enrolled"),
        "{refused}"
    );
    let whole = start("require", vec![libc::SYS_kexec_load]);
    assert!(
        !whole.contains("NOT SHUT OFF") && whole.contains("not enrolled"),
        "{whole}"
    );
}

#[test]
fn a_kernel_without_seccomp_filters_is_refused_by_policy() {
    let refused = start("require", vec![libc::SYS_seccomp]);
    assert!(refused.contains("seccomp"), "{refused}");
    assert!(!refused.contains("not enrolled"), "{refused}");
}
