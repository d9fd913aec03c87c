//! The view on a terminal.

use armour_api::PairState;
use ratatui::{
    Frame,
    layout::{Constraint, Layout},
    style::{Color, Modifier, Style},
    text::Line,
    widgets::{Block, Cell, Paragraph, Row, Table},
};

use super::view::{EVENTS, View};
use crate::output::plain;

impl View {
    /// Draws the whole screen.
    pub(super) fn draw(&self, frame: &mut Frame<'_>) {
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
                PairState::Active if !row.is_unserved => Style::new(),
                PairState::Active | PairState::Disconnected => Style::new().fg(Color::Red),
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
        let lines: Vec<Line<'_>> = self
            .events
            .iter()
            .map(|event| {
                let at = event.created_at.format("%H:%M:%S");
                Line::from(plain(&format!("{at}  {:24} {}", event.kind, event.detail)))
            })
            .collect();
        frame.render_widget(
            Paragraph::new(lines).block(Block::bordered().title(" events ")),
            bottom,
        );
    }
}
