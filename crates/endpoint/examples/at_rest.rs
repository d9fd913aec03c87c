//! Seals or opens a file at rest: `at_rest new-key >key`, then
//! `at_rest seal|open KEY-FILE <from >to`. A program that stores payloads keeps its key in
//! the system's key store, not in a file.

use std::{
    env, fs,
    io::{self, Write as _},
};

use armour_endpoint::at_rest::Key;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (from, mut to) = (io::stdin().lock(), io::stdout().lock());
    match words[..] {
        ["new-key"] => to.write_all(Key::generate().secret().as_bytes())?,
        ["seal", file] => drop(key(file)?.seal_stream(from, to)?),
        ["open", file] => drop(key(file)?.open_stream(from, to)?),
        _ => anyhow::bail!("new-key, seal KEY-FILE or open KEY-FILE"),
    }
    Ok(())
}

fn key(file: &str) -> anyhow::Result<Key> {
    let secret = fs::read_to_string(file)?;
    Ok(Key::from_secret(&secret)?)
}
