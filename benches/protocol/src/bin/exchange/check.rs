//! Errors end the program.

/// Ends it with what went wrong.
pub fn check<T>(done: anyhow::Result<T>) {
    if let Err(error) = done {
        eprintln!("{error:#}");
        std::process::exit(1);
    }
}
