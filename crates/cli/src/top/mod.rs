//! `armour top`: pairs, live.

mod draw;
mod view;

use std::{io::IsTerminal, path::Path, time::Duration};

use anyhow::{Context as _, bail};
use armour_api::Event;
use armour_client::Client;
use clap::Args;
use futures::{Stream, StreamExt, stream::BoxStream};
use ratatui::{
    DefaultTerminal,
    crossterm::event::{Event as Key, EventStream, KeyCode, KeyModifiers},
};

use self::view::View;
use crate::access::{Access, As};
use crate::terminal::print_line;

/// Watch pairs live: exchanges a second, endpoints, events. `q` ends.
#[derive(Debug, Args)]
pub struct Top {
    /// Seconds between two looks.
    #[arg(long, short, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
    /// Print so many looks as text, and end; for pipes and scripts.
    #[arg(long)]
    looks: Option<u32>,
}

impl Top {
    /// Shows until it is ended.
    ///
    /// # Errors
    /// If the control plane refuses from the start, or there is no terminal.
    pub async fn run(self, data: &Path, access: &Access) -> anyhow::Result<()> {
        let client = access.client(data, As::Operator)?;
        let mut view = View::default();
        view.refresh(&client).await?;
        if let Some(looks) = self.looks {
            return self.print(&client, view, looks).await;
        }
        if !std::io::stdout().is_terminal() {
            bail!("this is no terminal; print text with --looks 1");
        }
        let events = follow(client.clone());
        let mut terminal = ratatui::try_init().context("the terminal")?;
        let ended = self.watch(&client, &mut terminal, view, events).await;
        ratatui::restore();
        ended
    }

    async fn print(&self, client: &Client, mut view: View, looks: u32) -> anyhow::Result<()> {
        for look in 0..looks {
            if look > 0 {
                tokio::time::sleep(Duration::from_secs(self.interval)).await;
                view.refresh(client).await?;
            }
            for line in view.summary() {
                print_line!("{line}")?;
            }
            for row in &view.rows {
                print_line!("{}", row.cells().join("  "))?;
            }
        }
        Ok(())
    }

    async fn watch(
        &self,
        client: &Client,
        terminal: &mut DefaultTerminal,
        mut view: View,
        mut events: BoxStream<'static, Event>,
    ) -> anyhow::Result<()> {
        let mut keys = EventStream::new();
        let mut tick = tokio::time::interval(Duration::from_secs(self.interval));
        tick.tick().await;
        loop {
            terminal.draw(|frame| view.draw(frame))?;
            tokio::select! {
                _ = tick.tick() => {
                    view.error = view.refresh(client).await.err().map(|error| error.to_string());
                }
                event = events.next() => if let Some(event) = event {
                    view.add(event);
                },
                key = keys.next() => match key {
                    Some(Ok(Key::Key(key))) => {
                        let interrupted = key.modifiers.contains(KeyModifiers::CONTROL)
                            && key.code == KeyCode::Char('c');
                        if interrupted || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                            return Ok(());
                        }
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error).context("the terminal"),
                    None => return Ok(()),
                },
            }
        }
    }
}

/// Events as they happen, over breaks.
fn follow(client: Client) -> BoxStream<'static, Event> {
    let (sender, receiver) = tokio::sync::mpsc::channel(64);
    tokio::spawn(async move {
        let mut last = None;
        loop {
            if let Ok(events) = client.events("/v1/events", last).await {
                futures::pin_mut!(events);
                while let Some(event) = events.next().await {
                    last = Some(event.seq);
                    if sender.send(event).await.is_err() {
                        return;
                    }
                }
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    received(receiver).boxed()
}

fn received(mut receiver: tokio::sync::mpsc::Receiver<Event>) -> impl Stream<Item = Event> {
    futures::stream::poll_fn(move |context| receiver.poll_recv(context))
}
