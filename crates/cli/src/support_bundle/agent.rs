//! What an agent shows: its standing, its metrics, its files without secrets, and its log.

use std::{
    fmt::Write as _,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::Duration,
};

use super::archive::Archive;

/// How long an agent may take to answer.
const WITHIN: Duration = Duration::from_secs(10);
/// As much of an answer is taken, in bytes.
const ANSWER: usize = 4 * 1024 * 1024;
/// As much of a log's end.
const TAIL: u64 = 1024 * 1024;
/// Files of an agent's data folder that hold no secret; none is large.
const FILES: [&str; 4] = [
    "endpoint.json",
    "log-alarms.json",
    "log-pin.json",
    "public-keys.json",
];

/// Adds whether an agent is ready.
pub async fn standing(archive: &mut Archive, listener: &str) {
    for path in ["live", "started", "ready"] {
        fetch(archive, listener, path).await;
    }
}

/// Adds what a listener counts.
pub async fn metrics(archive: &mut Archive, listener: &str) {
    fetch(archive, listener, "metrics").await;
}

async fn fetch(archive: &mut Archive, listener: &str, path: &str) {
    let name = format!("listeners/{}/{path}.txt", file_name(listener));
    match get(listener, path).await {
        Ok(text) => archive.text(&name, &text),
        Err(error) => archive.is_missing(&name, &format!("{error:#}")),
    }
}

async fn get(listener: &str, path: &str) -> anyhow::Result<String> {
    let http = reqwest::Client::builder()
        .timeout(WITHIN)
        .no_proxy()
        .build()?;
    let mut answer = http.get(format!("http://{listener}/{path}")).send().await?;
    let mut text = format!("{}\n", answer.status()).into_bytes();
    while let Some(piece) = answer.chunk().await? {
        text.extend_from_slice(&piece);
        if text.len() > ANSWER {
            text.truncate(ANSWER);
            break;
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Adds the files of a data folder that hold no secret, and a list of all of them.
pub fn files(archive: &mut Archive, folder: &Path) {
    let at = format!("agents/{}", file_name(&folder.display().to_string()));
    match listed(folder) {
        Ok(list) => archive.text(&format!("{at}/files.txt"), &list),
        Err(error) => return archive.is_missing(&at, &error.to_string()),
    }
    for name in FILES {
        let file = folder.join(name);
        // A link may lead to what is a secret.
        let is_file = std::fs::symlink_metadata(&file).is_ok_and(|file| file.is_file());
        if !is_file {
            continue;
        }
        let name = format!("{at}/{name}");
        match tail(&file) {
            Ok(text) => archive.text(&name, &text),
            Err(error) => archive.is_missing(&name, &error.to_string()),
        }
    }
}

fn listed(folder: &Path) -> std::io::Result<String> {
    let mut entries: Vec<_> = std::fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    let mut list = String::new();
    for entry in entries {
        let metadata = entry.metadata()?;
        let (mode, size) = (metadata.permissions().mode() & 0o7777, metadata.len());
        let name = entry.file_name();
        let _ = writeln!(list, "{mode:04o} {size:>10} {}", name.display());
    }
    Ok(list)
}

/// Adds a log's end.
pub fn log(archive: &mut Archive, file: &Path) {
    let name = format!("logs/{}", file_name(&file.display().to_string()));
    match tail(file) {
        Ok(text) => archive.text(&name, &text),
        Err(error) => archive.is_missing(&name, &error.to_string()),
    }
}

/// A file's end, from the beginning of a line: half a secret is none that anybody knows.
fn tail(file: &Path) -> std::io::Result<String> {
    let mut file = File::open(file)?;
    let length = file.metadata()?.len();
    let skipped = length.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(skipped))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(match (skipped, text.split_once('\n')) {
        (0, _) => text,
        (_, Some((_, whole))) => whole.to_owned(),
        (_, None) => String::new(),
    })
}

/// A name that stays within its folder.
fn file_name(text: &str) -> String {
    let name: String = text
        .chars()
        .map(|c| match c {
            c if c.is_ascii_alphanumeric() || "-.".contains(c) => c,
            _ => '_',
        })
        .collect();
    name.trim_start_matches(['.', '_']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logs_end_begins_with_a_whole_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("log");
        let line = "x".repeat(999);
        std::fs::write(&file, format!("{line}\n").repeat(3_000)).unwrap();
        let end = tail(&file).unwrap();
        assert!(end.len() as u64 <= TAIL && end.len() > 1_000_000);
        assert!(end.lines().all(|one| one == line));
        std::fs::write(&file, "short").unwrap();
        assert_eq!(tail(&file).unwrap(), "short");
    }

    #[test]
    fn names_stay_within_the_archive() {
        assert_eq!(file_name("../../etc/passwd"), "etc_passwd");
        assert_eq!(file_name("127.0.0.1:7203"), "127.0.0.1_7203");
    }
}
