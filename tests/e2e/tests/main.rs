//! The whole system, tried from outside. One program for all of it: a module that is not
//! named here is not tried.
#![expect(clippy::disallowed_methods, reason = "real processes in real time")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by them")]

mod abuse;
mod chaos;
mod clones;
mod crashes;
mod dev;
mod drills;
mod faults;
mod forgeries;
mod last_comparison;
mod library;
mod overtaken;
mod protected_calls;
mod releases;
mod restored_folders;
mod swapped_key;
mod telemetry;
mod thefts;
