//! The configuration's reference, from the programs' own command lines.

#![forbid(unsafe_code)]

use std::fmt::Write as _;

use clap::{Arg, ArgAction, Command, CommandFactory};

const HEAD: &str = "# Configuration

Every setting of each program, from the programs' own command lines: `make reference`
writes this page, and a test fails where it is out of date. A setting is a flag or, where
one is named, an environment variable; the flag wins. Secrets are given as files, or at
most by a variable: a command line is everybody's to read.

";

/// The three programs.
pub fn programs() -> [Command; 3] {
    [
        armour_control_plane::config::Config::command(),
        armour_agent::options::Cli::command(),
        armour_cli::cli::Cli::command(),
    ]
}

/// The page.
pub fn configuration() -> String {
    let mut page = HEAD.to_owned();
    let [control_plane, agent, mut cli] = programs();
    section(&mut page, &control_plane, "armour-control-plane");
    section(&mut page, &agent, "armour-agent");
    for role in agent.get_subcommands().filter(|one| !one.is_hide_set()) {
        section(
            &mut page,
            role,
            &format!("armour-agent {}", role.get_name()),
        );
    }
    cli.build();
    section(&mut page, &cli, "armour");
    page.push_str("## Commands of `armour`\n\n| command | |\n|---|---|\n");
    commands(&mut page, &cli, "armour");
    page
}

fn section(page: &mut String, command: &Command, title: &str) {
    let about = command.get_about().map(ToString::to_string);
    let _ = writeln!(page, "## `{title}`\n\n{}\n", about.unwrap_or_default());
    page.push_str("| flag | variable | default | |\n|---|---|---|---|\n");
    let settings = command.get_arguments().filter(|one| is_setting(one));
    for one in settings {
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} |",
            flag(one),
            one.get_env().map_or_else(String::new, |name| {
                format!("`{}`", name.to_string_lossy())
            }),
            default(one),
            meaning(one),
        );
    }
    page.push('\n');
}

fn commands(page: &mut String, command: &Command, path: &str) {
    for one in command.get_subcommands() {
        if one.is_hide_set() || one.get_name() == "help" {
            continue;
        }
        let path = format!("{path} {}", one.get_name());
        let below = one.get_subcommands().filter(|one| one.get_name() != "help");
        if below.count() > 0 {
            commands(page, one, &path);
            continue;
        }
        let own = one
            .get_arguments()
            .filter(|one| !one.is_hide_set() && !one.is_global_set() && one.get_id() != "help");
        let arguments: String = own
            .map(|one| match (one.is_positional(), one.is_required_set()) {
                (true, true) => format!(" <{}>", one.get_id()),
                (true, false) => format!(" [{}]", one.get_id()),
                (false, true) => format!(" {}", flag(one)),
                (false, false) => format!(" [{}]", flag(one)),
            })
            .collect();
        let about = one.get_about().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(page, "| `{}{arguments}` | {} |", &path[7..], line(&about));
    }
}

fn is_setting(one: &Arg) -> bool {
    !one.is_hide_set()
        && !one.is_positional()
        && !matches!(one.get_id().as_str(), "help" | "version")
}

fn flag(one: &Arg) -> String {
    let long = one
        .get_long()
        .map_or_else(String::new, |long| format!("--{long}"));
    match takes_value(one) {
        true => format!("{long} <{}>", one.get_id().as_str().replace('_', "-")),
        false => long,
    }
}

fn takes_value(one: &Arg) -> bool {
    matches!(one.get_action(), ArgAction::Set | ArgAction::Append)
}

fn default(one: &Arg) -> String {
    // A flag without a value is off by default, which need not be said.
    let values = one.get_default_values().iter().filter(|_| takes_value(one));
    let values: Vec<String> = values
        .map(|value| format!("`{}`", value.to_string_lossy()))
        .collect();
    match (values.is_empty(), one.is_required_set()) {
        (true, true) => "required".to_owned(),
        _ => values.join(", "),
    }
}

fn meaning(one: &Arg) -> String {
    let help = one.get_help().map(ToString::to_string).unwrap_or_default();
    let of = one
        .get_possible_values()
        .into_iter()
        .filter(|_| takes_value(one));
    let of: Vec<String> = of.map(|value| format!("`{}`", value.get_name())).collect();
    let text = line(&help);
    match of.is_empty() {
        true => text,
        false => format!("{text} One of {}.", of.join(", ")),
    }
}

/// Text for a cell of a table.
fn line(text: &str) -> String {
    let text: Vec<&str> = text.split_whitespace().collect();
    let text = text.join(" ").replace('|', "\\|");
    match text.ends_with(['.', '!']) || text.is_empty() {
        true => text,
        false => format!("{text}."),
    }
}
