//! Who runs a command: as whom calls are made, and how answers are printed.

use armour_api::Page;
use armour_client::{Call, Client};
use serde::Serialize;
use serde_json::Value;

use super::names::{self, Named};
use crate::output::Output;

/// Who runs a command.
pub(super) struct Operator {
    /// The control plane, with the operator's or the platform's token.
    pub client: Client,
    /// How answers are printed.
    pub output: Output,
}

impl Operator {
    /// Makes a call; prints the answer as it came.
    pub async fn show<T, B: Serialize>(&self, call: Call<'_, T, B>) -> anyhow::Result<()> {
        self.output.print(&call.raw().await?, &[])
    }

    /// Prints a list: for programs as it came, for people with names in place of these ids.
    pub async fn named(
        &self,
        mut items: Vec<Value>,
        columns: &[&str],
        ids: &[(&str, Named)],
    ) -> anyhow::Result<()> {
        if self.output == Output::Table {
            names::name(&self.client, &mut items, ids).await;
        }
        self.output.print(&Value::Array(items), columns)
    }

    /// Makes a call that is answered by a whole list; prints it as it came.
    pub async fn list<T, B: Serialize>(
        &self,
        call: Call<'_, Vec<T>, B>,
        columns: &[&str],
    ) -> anyhow::Result<()> {
        self.output.print(&call.raw().await?, columns)
    }

    /// Makes a call for every page of a list; prints all items as they came.
    pub async fn pages<T>(&self, call: Call<'_, Page<T>>, columns: &[&str]) -> anyhow::Result<()> {
        let items = call.every_raw().await?;
        self.output.print(&Value::Array(items), columns)
    }

    /// Says what was done.
    pub fn say(&self, said: &impl Serialize) -> anyhow::Result<()> {
        self.output.print(&serde_json::to_value(said)?, &[])
    }
}
