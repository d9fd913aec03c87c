//! `armour events`: what happens, as it happens.

use std::time::Duration;

use armour_api::Event;
use clap::Args;
use futures::StreamExt;

use super::operator::Operator;
use crate::output::{Output, plain};
use crate::terminal::{complain, print_line};

/// What happens, as it happens.
#[derive(Debug, Args)]
pub struct Events {
    /// Begin after the event of this number.
    #[arg(long)]
    after: Option<i64>,
}

impl Events {
    /// Follows events until the stream is closed from here; after a break it
    /// goes on where it was.
    pub(super) async fn run(self, operator: &Operator) -> anyhow::Result<()> {
        let mut after = self.after;
        loop {
            let events = operator.client.events("/v1/events", after).await?;
            futures::pin_mut!(events);
            while let Some(event) = events.next().await {
                after = Some(event.seq);
                print(&event, operator.output)?;
            }
            complain!("the stream was cut; going on after event {after:?}");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

fn print(event: &Event, output: Output) -> anyhow::Result<()> {
    match output {
        Output::Json => print_line!("{}", serde_json::to_string(event)?)?,
        Output::Table => print_line!(
            "{:>6}  {}  {:24} {}",
            event.seq,
            event.created_at.format("%H:%M:%S%.3f"),
            event.kind,
            plain(&event.detail.to_string())
        )?,
    }
    Ok(())
}
