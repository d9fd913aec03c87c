//! Fleets as deployments have them: three producers and two consumers with two endpoints each,
//! rolled, killed, frozen, slowed and cut off from their control plane, under calls that never
//! wait for one another. What became of a call is told by the APIs that saw it and by its
//! caller; nothing that an agent says of itself counts.

mod api;
mod call;
mod figures;
mod judge;
mod left;
mod load;
mod member;
mod parts;
mod plan;
mod progress;
mod stage;

pub use self::{
    figures::{Figures, Findings},
    plan::{FIGURES, Part, Plan},
};
use self::{progress::Progress, stage::Context};

/// Plays the parts that were chosen. One that cannot be played is a fault, and the others are
/// played all the same.
pub async fn run(plan: &Plan) -> Findings {
    let context = Context {
        plan: plan.clone(),
        progress: Progress::new(),
    };
    let mut findings = Findings::default();
    for part in plan.parts() {
        context.progress.part(part.name());
        if let Err(error) = parts::play(part, &context, &mut findings).await {
            findings.fault(format!("{} was not played: {error:#}", part.name()));
        }
    }
    context.progress.over();
    findings
}
