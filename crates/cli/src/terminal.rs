//! Standard output and standard error, whose readers may go away before everything is written.

use std::{
    error::Error,
    fmt,
    io::{self, ErrorKind, Write},
};

use anyhow::anyhow;

/// Nobody reads standard output any more, as where `head` has seen enough. What was asked for
/// ends then, and nothing has failed.
#[derive(Debug)]
pub struct ReaderGone;

impl fmt::Display for ReaderGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody reads standard output any more")
    }
}

impl Error for ReaderGone {}

/// Writes to standard output, at once.
///
/// # Errors
/// [`ReaderGone`] if the reader closed the pipe; else why it cannot be written, as where the
/// device is full.
pub fn write(text: fmt::Arguments<'_>) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_fmt(text)
        .and_then(|()| out.flush())
        .map_err(failed)
}

/// Why standard output was not written.
pub fn failed(error: io::Error) -> anyhow::Error {
    match error.kind() {
        ErrorKind::BrokenPipe => ReaderGone.into(),
        _ => anyhow!("write to standard output: {error}"),
    }
}

/// Writes a line to standard error. What cannot be said there can be said nowhere.
pub fn write_error(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Writes a line to standard output; see [`write`].
macro_rules! print_line {
    ($($text:tt)*) => {
        $crate::terminal::write(format_args!("{}\n", format_args!($($text)*)))
    };
}

/// Writes a line to standard error; see [`write_error`].
macro_rules! complain {
    ($($text:tt)*) => {
        $crate::terminal::write_error(format_args!($($text)*))
    };
}

pub(crate) use {complain, print_line};
