//! Answers as JSON, or as a table for people.

use std::time::Duration;

use clap::ValueEnum;
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use crate::terminal::{self, print_line};

/// How answers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// Columns for people.
    Table,
    /// JSON for programs.
    Json,
}

impl Output {
    /// Prints an answer: an object, or a list of them.
    ///
    /// # Errors
    /// If it cannot be written as JSON.
    pub fn print(self, value: &Value, columns: &[&str]) -> anyhow::Result<()> {
        match self {
            Self::Json => print_line!("{}", serde_json::to_string_pretty(value)?)?,
            Self::Table => terminal::write(format_args!("{}", render(value, columns)))?,
        }
        Ok(())
    }
}

/// Says that something is going on that has no measure.
pub fn progress_spinner(what: &'static str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(what);
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

fn render(value: &Value, columns: &[&str]) -> String {
    match value {
        Value::Array(rows) if rows.is_empty() => "none\n".to_owned(),
        Value::Array(rows) => table(rows, columns),
        Value::Object(fields) => {
            let width = fields.keys().map(|name| name.width()).max().unwrap_or(0);
            let lines = fields
                .iter()
                .map(|(name, value)| format!("{}  {}\n", padded(name, width), cell(value)));
            lines.collect()
        }
        other => format!("{}\n", cell(other)),
    }
}

fn table(rows: &[Value], columns: &[&str]) -> String {
    let mut lines: Vec<Vec<String>> =
        vec![columns.iter().map(|name| name.to_uppercase()).collect()];
    for row in rows {
        lines.push(columns.iter().map(|name| cell(&row[name])).collect());
    }
    let widths: Vec<usize> = (0..columns.len())
        .map(|at| {
            let lengths = lines.iter().map(|line| line[at].width());
            lengths.max().unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    for line in lines {
        let cells = line.iter().zip(&widths);
        let text: Vec<String> = cells.map(|(cell, &width)| padded(cell, width)).collect();
        out.push_str(text.join("  ").trim_end());
        out.push('\n');
    }
    out
}

/// Filled up with blanks to as many columns of a terminal.
fn padded(text: &str, columns: usize) -> String {
    let blanks = columns.saturating_sub(text.width());
    format!("{text}{:blanks$}", "")
}

/// Without control characters: those of other people's names must not reach a terminal.
pub fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => plain(text),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_becomes_a_table() {
        let rows = json!([{ "id": 1, "name": "a\u{1b}[31m" }, { "id": 22, "name": null }]);
        assert_eq!(
            render(&rows, &["id", "name"]),
            "ID  NAME\n1   a[31m\n22  -\n"
        );
        assert_eq!(render(&json!([]), &["id"]), "none\n");
    }

    #[test]
    fn columns_are_straight_whatever_script_a_name_is_in() {
        // Wide, combining, an emoji of several code points.
        for name in ["日本支社", "e\u{301}cole", "👩\u{200d}🔬"] {
            let rows = json!([{ "name": name, "id": 1 }, { "name": "x", "id": 2 }]);
            let text = render(&rows, &["name", "id"]);
            let starts: Vec<usize> = text
                .lines()
                .map(|line| {
                    let (before, _) = line.rsplit_once(' ').unwrap();
                    before.width() + 1
                })
                .collect();
            assert!(starts.iter().all(|start| *start == starts[0]), "{text}");
        }
    }
}
