//! What the drill found, for programs and for people.

use serde::Serialize;

use super::judge::Verdict;

/// For programs: null for a part that was not played. [`super::FIGURES`] says what each is.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Figures {
    pub spread: Option<f64>,
    pub killed_safe_failed: Option<u64>,
    pub killed_longest_wait_seconds: Option<f64>,
    pub frozen_recovered_seconds: Option<f64>,
    pub rolled_failed: Option<u64>,
    pub left_behind: Option<u64>,
    pub scaled_seconds: Option<f64>,
    pub outage_60_failed: Option<u64>,
    pub outage_150_recovered_seconds: Option<f64>,
    pub outage_600_lost: Option<u64>,
    pub failing_producer_share: Option<f64>,
    pub late: Option<u64>,
    pub twice: Option<u64>,
    pub streams_refused: Option<u64>,
}

/// Figures, what else was seen, and which limits do not hold.
#[derive(Debug, Default)]
pub struct Findings {
    /// For programs.
    pub figures: Figures,
    /// For people: names and values.
    pub rows: Vec<(String, String)>,
    /// What does not hold, a sentence each.
    pub faults: Vec<String>,
}

impl Findings {
    /// Adds what was seen.
    pub fn row(&mut self, name: impl Into<String>, value: impl ToString) {
        self.rows.push((name.into(), value.to_string()));
    }

    /// Adds what does not hold.
    pub fn fault(&mut self, sentence: impl Into<String>) {
        self.faults.push(sentence.into());
    }

    /// Adds a sentence unless this holds.
    pub fn holds(&mut self, holds: bool, sentence: impl FnOnce() -> String) {
        if !holds {
            self.fault(sentence());
        }
    }

    /// Adds what was judged of a part's calls.
    pub fn judged(&mut self, part: &str, verdict: &Verdict) {
        *self.figures.late.get_or_insert_default() += verdict.late;
        *self.figures.twice.get_or_insert_default() += verdict.twice;
        self.row(format!("{part}: calls made"), verdict.made);
        self.row(format!("{part}: GETs begun again"), verdict.safe_again);
        for (what, count) in [
            ("calls began after their deadline", verdict.late),
            ("POSTs ran twice", verdict.twice),
            ("calls were answered that no API saw", verdict.lost),
            ("answers belong to another call", verdict.wrong),
            ("collisions are false", verdict.collisions),
        ] {
            self.holds(count == 0, || format!("{part}: {count} {what}"));
        }
    }

    /// Whether all limits hold.
    pub fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }
}

impl std::fmt::Display for Findings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, value) in &self.rows {
            writeln!(f, "{name:44} {value:>14}")?;
        }
        for fault in &self.faults {
            writeln!(f, "DOES NOT HOLD  {fault}")?;
        }
        Ok(())
    }
}
