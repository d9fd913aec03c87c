//! Users of this machine that servers run as.

use std::ffi::OsStr;

use anyhow::Context as _;
use tokio::process::Command;

/// Whether this process may do everything, so that servers must not be its
/// children without giving that up.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A program as this user where this process is root's; else as its own.
pub fn command_as(user: &str, program: impl AsRef<OsStr>) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", user, "--"]).arg(program);
    command
}

/// User and group number.
///
/// # Errors
/// If there is no such user.
pub fn ids_of(name: &str) -> anyhow::Result<(u32, u32)> {
    let passwd = std::fs::read_to_string("/etc/passwd")?;
    let mut fields = passwd
        .lines()
        .map(|line| line.split(':'))
        .find_map(|mut fields| (fields.next() == Some(name)).then_some(fields))
        .with_context(|| format!("there is no user named {name}"))?
        .skip(1);
    let mut number = || fields.next().and_then(|text| text.parse().ok());
    number()
        .zip(number())
        .with_context(|| format!("the user {name} has no numbers"))
}
