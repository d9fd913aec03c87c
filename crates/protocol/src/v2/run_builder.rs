//! A run that grows by one ticket or receipt at a time.

use crate::v2::{
    body::{Body, BodyHash, Kind},
    context::Context,
    ledger::{Before, Run, names},
    message::Evidence,
};

/// A run and its last body, so that what comes next is compared with that alone: the bodies
/// before it follow from the run's rests, but only all of them together.
#[derive(Debug, Clone)]
pub struct RunBuilder {
    run: Run,
    last: Body,
}

impl RunBuilder {
    /// A run of one ticket.
    pub fn of(ticket: &Evidence) -> Self {
        Self {
            run: Run::of(ticket),
            last: ticket.body,
        }
    }

    /// A run of one ticket, that takes apart what the ticket names.
    pub fn after(ticket: &Evidence, before: Before) -> Self {
        let mut builder = Self::of(ticket);
        builder.run.before = Some(before);
        builder
    }

    /// Appends the body that follows the run's last; returns whether it does.
    pub fn push(&mut self, context: &Context, next: &Evidence) -> bool {
        let follows = self.follows(context, &next.body);
        if follows {
            self.run.rests.push(next.body.rest);
            match next.body.header.kind {
                Kind::Receipt => self.run.receipt = Some(next.proof.clone()),
                _ => self.run.ticket = next.proof.clone(),
            }
            self.last = next.body;
        }
        follows
    }

    /// The run.
    pub fn finish(self) -> Run {
        self.run
    }

    fn follows(&self, context: &Context, next: &Body) -> bool {
        let last = &self.last.header;
        let n = match last.kind {
            Kind::Ticket => Some(last.n),
            _ => last.n.checked_add(1),
        };
        self.begins(context)
            && next.header.belongs(context, self.run.lane).is_ok()
            && n == Some(next.header.n)
            && next.header.kind != last.kind
            && next.previous == names(&self.last)
    }

    /// Whether the first ticket names the lane's opening if it is ticket 0, and only then.
    fn begins(&self, context: &Context) -> bool {
        let run = &self.run;
        // What was appended before has shown it.
        run.rests.len() > 1
            || (run.first == 0) == (run.previous == BodyHash::opening(context, run.lane))
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;
    use crate::v2::{
        fields::hashes,
        ledger::{Position, bodies},
        suite::Suite,
        testing::context,
    };

    /// The tickets and receipts of so many exchanges. Nobody checks who signed them here.
    fn chain(context: &Context, exchanges: u8) -> Vec<Evidence> {
        let rests: Vec<_> = (0..exchanges * 2).map(|rest| [rest; 32]).collect();
        let opening = BodyHash::opening(context, 3);
        let all = bodies(context, 3, Position(0), opening, &rests).unwrap();
        let key = SigningKey::from_bytes(&[1; 32]);
        let signed = all.iter().map(|body| Evidence::sign(body, context, &key));
        signed.collect()
    }

    #[test]
    fn a_run_takes_what_follows_its_last_body_and_nothing_else() {
        let context = context(Suite::X25519ChaCha20Poly1305);
        let chain = chain(&context, 3);
        let mut builder = RunBuilder::of(&chain[0]);
        for next in &chain[1..5] {
            assert!(!builder.push(&context, &chain[0]));
            assert!(builder.push(&context, next));
            assert!(!builder.push(&context, next));
        }
        let mut other = chain[5].clone();
        other.body.previous.0[0] ^= 1;
        assert!(!builder.push(&context, &other));
        let mut other = chain[5].clone();
        other.body.header.lane += 1;
        assert!(!builder.push(&context, &other));
        assert!(builder.push(&context, &chain[5]));
        let run = builder.finish();
        let rests: Vec<_> = chain.iter().map(|one| one.body.rest).collect();
        assert_eq!(run.rests, rests);
        assert_eq!(
            run.heads(&context),
            Some((chain[4].clone(), chain[5].clone()))
        );
    }

    #[test]
    fn a_first_ticket_names_the_opening() {
        let context = context(Suite::X25519ChaCha20Poly1305);
        let chain = chain(&context, 1);
        let mut first = chain[0].clone();
        first.body.previous.0[0] ^= 1;
        let mut next = chain[1].clone();
        next.body.previous = first.body.hash();
        assert!(!RunBuilder::of(&first).push(&context, &next));
    }

    /// Appending walked the run from its start, so that a long one took ages to build.
    #[test]
    fn appending_takes_no_longer_the_longer_the_run_is() {
        let context = context(Suite::X25519ChaCha20Poly1305);
        let chain = chain(&context, 60);
        let mut builder = RunBuilder::of(&chain[0]);
        for next in &chain[1..] {
            let (follows, hashed) = hashes(|| builder.push(&context, next));
            assert!(follows);
            assert!(hashed <= 2, "{hashed} hashes");
        }
    }
}
