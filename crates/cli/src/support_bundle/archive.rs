//! The archive: texts, each without what looks like a secret, and a list of what is missing.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use chrono::{DateTime, Utc};
use flate2::{Compression, write::GzEncoder};
use serde_json::Value;

use super::redact::Redactor;

/// What is collected.
pub struct Archive {
    folder: String,
    redactor: Redactor,
    at: DateTime<Utc>,
    files: Vec<(String, String)>,
    missing: Vec<String>,
}

/// Makes a file that only its owner may read, in no other one's place.
pub fn create(file: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(file)
}

impl Archive {
    /// An empty one, all of which is below a folder of this name.
    pub fn new(folder: String, redactor: Redactor, at: DateTime<Utc>) -> Self {
        Self {
            folder,
            redactor,
            at,
            files: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// Adds a text.
    pub fn text(&mut self, name: &str, text: &str) {
        let text = self.redactor.text(text);
        self.files.push((name.to_owned(), text));
    }

    /// Adds an answer, or notes why there is none.
    pub fn json<E: std::fmt::Display>(&mut self, name: &str, answer: Result<Value, E>) {
        let written = answer
            .map_err(|error| error.to_string())
            .and_then(|mut value| {
                self.redactor.json(&mut value);
                serde_json::to_string_pretty(&value).map_err(|error| error.to_string())
            });
        match written {
            Ok(text) => self.text(name, &format!("{text}\n")),
            Err(why) => self.is_missing(name, &why),
        }
    }

    /// Notes what could not be had.
    pub fn is_missing(&mut self, name: &str, why: &str) {
        let line = self.redactor.text(&format!("{name}: {why}"));
        self.missing.push(line.replace('\n', " "));
    }

    /// How much could not be had.
    pub fn missing(&self) -> usize {
        self.missing.len()
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(mut self, file: File) -> io::Result<()> {
        let missing = self
            .missing
            .iter()
            .map(|line| format!("{line}\n"))
            .collect();
        self.files.push(("missing.txt".to_owned(), missing));
        let mut tar = tar::Builder::new(GzEncoder::new(file, Compression::default()));
        let at = u64::try_from(self.at.timestamp()).unwrap_or(0);
        for (name, text) in &self.files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o600);
            header.set_mtime(at);
            let path = format!("{}/{name}", self.folder);
            tar.append_data(&mut header, path, text.as_bytes())?;
        }
        let mut file = tar.into_inner()?.finish()?;
        file.flush()?;
        file.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn an_archive_is_its_owners_alone_and_lists_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.tar.gz");
        let target = create(&file).unwrap();
        assert!(create(&file).is_err(), "it would be replaced");
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let redactor = Redactor::new(["the secret itself".to_owned()]);
        let mut archive = Archive::new("all".to_owned(), redactor, DateTime::UNIX_EPOCH);
        archive.text("log.txt", "with the secret itself in it");
        archive.json("pairs.json", Err("no\nanswer: the secret itself"));
        assert_eq!(archive.missing(), 1);
        archive.write(target).unwrap();
        let mut read = tar::Archive::new(GzDecoder::new(File::open(&file).unwrap()));
        let mut texts = Vec::new();
        for entry in read.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut text = String::new();
            io::Read::read_to_string(&mut entry, &mut text).unwrap();
            texts.push((path, text));
        }
        let expected = [
            ("all/log.txt", "with [redacted] in it"),
            ("all/missing.txt", "pairs.json: no answer: [redacted]\n"),
        ];
        assert_eq!(
            texts,
            expected.map(|(name, text)| (name.to_owned(), text.to_owned()))
        );
    }
}
