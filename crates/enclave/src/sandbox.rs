//! What the enclave's process gives up once its keys are loaded: files, network, other
//! processes, and every system call that serving one socket does not need.

use anyhow::Context as _;
use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetStatus, Scope};
use rustix::{
    mm::MlockAllFlags,
    process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit},
    thread::CapabilitySet,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use crate::ipc::Hardening;

/// The newest of Landlock's interfaces that is asked for: files, TCP, devices, abstract
/// sockets and signals (Linux 6.12). An older kernel enforces what it knows.
const LANDLOCK: ABI = ABI::V6;
/// As a system call's argument: a mapping may be executed.
const PROT_EXEC: u64 = 4;
/// As a system call's argument: no file is mapped.
const NO_FILE: u64 = 0xffff_ffff;

/// Before any secret is loaded: no core dumps, no ptrace by others of the same user, no
/// new privileges.
///
/// # Errors
/// If the kernel refuses; every kernel that is still maintained can do this.
pub fn before_secrets() -> anyhow::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context("forbid dumping")?;
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none).context("forbid core dumps")?;
    rustix::thread::set_no_new_privs(true).context("give up new privileges")?;
    Ok(())
}

/// What the proxy gives up, whose memory holds one-time keys and the key of the enclave's
/// door: no core dumps of it, no ptrace and no look into its memory by others of the same
/// user.
///
/// # Errors
/// If the kernel refuses; every kernel that is still maintained can do this.
pub fn protect_proxy() -> anyhow::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context("forbid dumping")
}

/// Once the keys are loaded. What this kernel or this user lacks is told; whether that
/// will do is the proxy's policy.
pub fn after_secrets(started_ms: u64) -> Hardening {
    let mut hardening = Hardening {
        in_force: vec!["no core dumps, no ptrace, no new privileges".into()],
        missing: Vec::new(),
        started_ms,
    };
    // In this order: seccomp forbids the others' system calls.
    let steps = [
        ("memory that is never swapped", lock_memory()),
        ("Landlock: no files, no network, no signals", shut_away()),
        ("seccomp: the system calls of one socket", filter()),
    ];
    for (what, done) in steps {
        match done {
            Ok(()) => hardening.in_force.push(what.into()),
            Err(error) => hardening.missing.push(format!("{what}: {error:#}")),
        }
    }
    hardening
}

/// Keeps every page that is touched from now on out of swap.
fn lock_memory() -> anyhow::Result<()> {
    let unlimited = Rlimit {
        current: None,
        maximum: None,
    };
    // Under a limit the enclave would end when its lanes outgrow it.
    let free = setrlimit(Resource::Memlock, unlimited).or_else(|limited| {
        let held = rustix::thread::capabilities(None)?.effective;
        match held.contains(CapabilitySet::IPC_LOCK) {
            true => Ok(()),
            false => Err(limited),
        }
    });
    let locked = free.and_then(|()| {
        let all = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
        rustix::mm::mlockall(all)
    });
    if locked.is_err() && !may_swap() {
        return Ok(());
    }
    locked.context("RLIMIT_MEMLOCK is not unlimited (CAP_IPC_LOCK), and this machine swaps")
}

/// Whether the machine has somewhere to swap to.
fn may_swap() -> bool {
    // The first line is a heading.
    std::fs::read_to_string("/proc/swaps").is_ok_and(|swaps| swaps.lines().count() > 1)
}

fn shut_away() -> anyhow::Result<()> {
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?
        .restrict_self()?;
    match status.ruleset {
        RulesetStatus::FullyEnforced => Ok(()),
        RulesetStatus::PartiallyEnforced => anyhow::bail!("this kernel enforces a part of it"),
        RulesetStatus::NotEnforced => anyhow::bail!("not in this kernel, or switched off"),
    }
}

/// Any other system call ends the process.
fn filter() -> anyhow::Result<()> {
    use libc::{
        SYS_brk, SYS_clock_gettime, SYS_close, SYS_exit, SYS_exit_group, SYS_fcntl, SYS_futex,
        SYS_getrandom, SYS_madvise, SYS_mmap, SYS_mprotect, SYS_mremap, SYS_munmap, SYS_read,
        SYS_recvfrom, SYS_restart_syscall, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_sendto,
        SYS_sigaltstack, SYS_write,
    };
    let arg = |index, op, value| SeccompCondition::new(index, SeccompCmpArgLen::Dword, op, value);
    let not_executable = arg(2, SeccompCmpOp::MaskedEq(PROT_EXEC), 0)?;
    let no_file = arg(4, SeccompCmpOp::Eq, NO_FILE)?;
    // Asked by development builds before a file is closed.
    let is_open = arg(1, SeccompCmpOp::Eq, libc::F_GETFD as u64)?;
    let plain = [
        SYS_brk,
        SYS_clock_gettime,
        SYS_close,
        SYS_exit,
        SYS_exit_group,
        SYS_futex,
        SYS_getrandom,
        SYS_madvise,
        SYS_mremap,
        SYS_munmap,
        SYS_read,
        SYS_recvfrom,
        SYS_restart_syscall,
        SYS_rt_sigprocmask,
        SYS_rt_sigreturn,
        SYS_sendto,
        SYS_sigaltstack,
        SYS_write,
    ];
    let mut rules: std::collections::BTreeMap<i64, Vec<SeccompRule>> =
        plain.into_iter().map(|call| (call, Vec::new())).collect();
    let mapped = SeccompRule::new(vec![not_executable.clone(), no_file])?;
    rules.insert(SYS_mmap, vec![mapped]);
    rules.insert(SYS_fcntl, vec![SeccompRule::new(vec![is_open])?]);
    rules.insert(SYS_mprotect, vec![SeccompRule::new(vec![not_executable])?]);
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        std::env::consts::ARCH.try_into()?,
    )?;
    let program = BpfProgram::try_from(filter)?;
    seccompiler::apply_filter(&program)?;
    Ok(())
}

/// Overwrites what calls have left on the stack below the caller: copies of secrets that
/// moves and inlined callees made there. A test scans the process for them.
#[inline(never)]
pub fn wipe_stack() {
    let mut below = [0u8; 64 * 1024];
    // Whoever looked at it would see zeros, so they have to be written.
    std::hint::black_box(&mut below);
}
