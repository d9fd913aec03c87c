//! `armour top`: pairs, live.

use std::{
    collections::HashMap,
    io::IsTerminal,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use armour_api::{Bundle, BundleState, Endpoint, Event, Overview, Pair, PairState};
use armour_client::Client;
use clap::Args;
use futures::{Stream, StreamExt, stream::BoxStream};
use ratatui::{
    DefaultTerminal, Frame,
    crossterm::event::{Event as Key, EventStream, KeyCode, KeyModifiers},
    layout::{Constraint, Layout},
    style::{Color, Modifier, Style},
    text::Line,
    widgets::{Block, Cell, Paragraph, Row, Table},
};
use uuid::Uuid;

use crate::{
    access::{Access, As},
    output::plain,
};

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

/// How many events are shown.
const EVENTS: usize = 8;
/// How many pages of bundles are read: a tenant with more shows its latest.
const PAGES: usize = 5;

/// What is shown.
#[derive(Default)]
struct View {
    overview: Option<Overview>,
    rows: Vec<Shown>,
    events: Vec<Event>,
    /// Exchanges of each bundle at the look before, and when that was.
    before: Option<(Instant, HashMap<Uuid, i64>)>,
    /// Why the latest look failed.
    error: Option<String>,
}

/// A pair's line.
struct Shown {
    pair: Pair,
    per_second: f64,
    exchanges: i64,
    /// Of both ends.
    endpoints: String,
}

impl Top {
    /// Shows until it is ended.
    ///
    /// # Errors
    /// If the control plane refuses from the start, or there is no terminal.
    pub async fn run(self, data: &Path, access: &Access) -> anyhow::Result<()> {
        let client = access.client(data, As::Operator)?;
        let mut view = View::default();
        view.look(&client).await?;
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
                view.look(client).await?;
            }
            for line in view.summary() {
                println!("{line}");
            }
            for row in &view.rows {
                println!("{}", row.cells().join("  "));
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
                    view.error = view.look(client).await.err().map(|error| error.to_string());
                }
                event = events.next() => if let Some(event) = event {
                    view.events.insert(0, event);
                    view.events.truncate(EVENTS);
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

impl View {
    async fn look(&mut self, client: &Client) -> anyhow::Result<()> {
        let overview = client.overview().await?;
        let pairs = client.pairs().await?;
        let endpoints = client.endpoints().await?;
        let bundles = bundles(client).await?;
        let now = Instant::now();
        let counts: HashMap<Uuid, i64> = bundles.iter().map(|b| (b.id, b.exchanges)).collect();
        let before = self.before.replace((now, counts));
        let since = |bundle: &Bundle| {
            let (at, counts) = before.as_ref()?;
            let had = counts.get(&bundle.id).copied().unwrap_or(0);
            Some((bundle.exchanges - had) as f64 / now.duration_since(*at).as_secs_f64())
        };
        let mut rows: Vec<Shown> = pairs
            .items
            .into_iter()
            .map(|pair| {
                let own: Vec<&Bundle> = bundles.iter().filter(|b| b.pair_id == pair.id).collect();
                let ends: Vec<&Endpoint> = endpoints
                    .items
                    .iter()
                    .filter(|one| [pair.consumer_id, pair.producer_id].contains(&one.party_id))
                    .collect();
                let lost = ends.iter().filter(|one| one.lost_at.is_some()).count();
                Shown {
                    per_second: total(own.iter().filter_map(|bundle| since(bundle))),
                    exchanges: own.iter().map(|bundle| bundle.exchanges).sum(),
                    endpoints: match lost {
                        0 => format!("{}", ends.len()),
                        lost => format!("{} ({lost} lost)", ends.len()),
                    },
                    pair,
                }
            })
            .collect();
        // What needs somebody first, then what is busiest.
        rows.sort_by(|a, b| {
            let broken = |row: &Shown| row.pair.state == PairState::Disconnected;
            broken(b)
                .cmp(&broken(a))
                .then(b.per_second.total_cmp(&a.per_second))
                .then(b.exchanges.cmp(&a.exchanges))
        });
        self.overview = Some(overview);
        self.rows = rows;
        Ok(())
    }

    fn summary(&self) -> Vec<String> {
        let Some(now) = &self.overview else {
            return Vec::new();
        };
        let collisions: i64 = now.collisions.iter().map(|day| day.count).sum();
        let per_second = total(self.rows.iter().map(|row| row.per_second));
        vec![
            format!(
                "pairs {} active, {} disconnected   endpoints {} healthy, {} lost   collisions {collisions} in 30 days",
                now.pairs_active, now.pairs_disconnected, now.endpoints_healthy, now.endpoints_lost,
            ),
            format!("exchanges/s {per_second:.1}   ever {}", now.exchanges),
        ]
    }

    fn draw(&self, frame: &mut Frame<'_>) {
        let events = u16::try_from(EVENTS).unwrap_or(u16::MAX) + 2;
        let [top, middle, bottom] = Layout::vertical([
            Constraint::Length(4),
            Constraint::Min(3),
            Constraint::Length(events),
        ])
        .areas(frame.area());
        let title = match &self.error {
            Some(error) => Line::from(format!(" armour top: {} ", plain(error)))
                .style(Style::new().fg(Color::Red)),
            None => Line::from(" armour top, q ends "),
        };
        let summary: Vec<Line<'_>> = self.summary().into_iter().map(Line::from).collect();
        frame.render_widget(
            Paragraph::new(summary).block(Block::bordered().title(title)),
            top,
        );
        let rows = self.rows.iter().map(|row| {
            let style = match row.pair.state {
                PairState::Active => Style::new(),
                PairState::Disconnected => Style::new().fg(Color::Red),
            };
            Row::new(row.cells().map(Cell::from)).style(style)
        });
        let heads = [
            "CONSUMER",
            "PRODUCER",
            "STATE",
            "EXCHANGES/S",
            "EVER",
            "ENDPOINTS",
        ];
        let widths = [
            Constraint::Fill(2),
            Constraint::Fill(2),
            Constraint::Length(12),
            Constraint::Length(11),
            Constraint::Length(12),
            Constraint::Fill(1),
        ];
        let heads = Row::new(heads).style(Style::new().add_modifier(Modifier::BOLD));
        frame.render_widget(
            Table::new(rows, widths)
                .header(heads)
                .block(Block::bordered().title(" pairs ")),
            middle,
        );
        let told: Vec<Line<'_>> = self
            .events
            .iter()
            .map(|event| {
                let at = event.created_at.format("%H:%M:%S");
                Line::from(plain(&format!("{at}  {:24} {}", event.kind, event.detail)))
            })
            .collect();
        frame.render_widget(
            Paragraph::new(told).block(Block::bordered().title(" events ")),
            bottom,
        );
    }
}

impl Shown {
    fn cells(&self) -> [String; 6] {
        [
            plain(&self.pair.consumer_name),
            plain(&self.pair.producer_name),
            match self.pair.state {
                PairState::Active => "active".to_owned(),
                PairState::Disconnected => "disconnected".to_owned(),
            },
            format!("{:.1}", self.per_second),
            self.exchanges.to_string(),
            self.endpoints.clone(),
        ]
    }
}

/// A sum that is 0 and not -0 where there is nothing to add.
fn total(numbers: impl Iterator<Item = f64>) -> f64 {
    numbers.fold(0.0, |sum, number| sum + number)
}

/// Active bundles, the latest first.
async fn bundles(client: &Client) -> anyhow::Result<Vec<Bundle>> {
    let mut found = Vec::new();
    let mut page = client.bundles(None).await?;
    for read in 1.. {
        let active = page.items.into_iter();
        found.extend(active.filter(|bundle| bundle.state == BundleState::Active));
        match page.next {
            Some(next) if read < PAGES => page = client.bundles(None).page(&next).await?,
            _ => break,
        }
    }
    Ok(found)
}
