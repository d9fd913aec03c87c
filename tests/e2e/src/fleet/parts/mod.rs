//! The parts of the drill, a file each.

mod failing;
mod frozen;
mod killed;
mod outage;
mod rolled;
mod scaled;
mod silence;
mod spread;
mod steps;
mod streams;
mod strict;

use super::{figures::Findings, plan::Part, stage::Context};

/// Plays one.
///
/// # Errors
/// If its fleet does not start, or cannot be asked.
pub async fn play(part: Part, context: &Context, findings: &mut Findings) -> anyhow::Result<()> {
    match part {
        Part::Spread => spread::play(context, findings).await,
        Part::Killed => killed::play(context, findings).await,
        Part::Frozen => frozen::play(context, findings).await,
        Part::Failing => failing::play(context, findings).await,
        Part::Rolled => rolled::play(context, findings).await,
        Part::Scaled => scaled::play(context, findings).await,
        Part::Outage => outage::play(context, findings).await,
        Part::Silence => silence::play(context, findings).await,
        Part::Strict => strict::play(context, findings).await,
        Part::Streams => streams::play(context, findings).await,
    }
}
