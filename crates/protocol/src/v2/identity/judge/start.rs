//! What a start is to those that the control plane recorded of its endpoint.

use ed25519_dalek::VerifyingKey;

use crate::v2::identity::{
    error::IdentityError,
    incarnation::Presence,
    mark::Incarnated,
    start::{SignedStart, Start, StartHash},
};

/// How long after a replica touched an incarnation's row that incarnation is asked.
pub const STREAM_MS: u64 = 5_000;
/// How long its answer is waited for.
pub const ANSWER_MS: u64 = 2_000;
/// How long people have to choose between two starts, before both end.
pub const DISPUTE_MS: u64 = 600_000;

/// What is recorded and known of an endpoint. Times are the control plane's own.
#[derive(Debug, Clone, Copy)]
pub struct StartFacts<'a> {
    /// The endpoint.
    pub endpoint: [u8; 16],
    /// Its long-term key.
    pub long_term: &'a VerifyingKey,
    /// Every start that was accepted, by ascending counter.
    pub recorded: &'a [Start],
    /// Starts that people chose against.
    pub declined: &'a [StartHash],
    /// The incarnation that has not ended.
    pub current: Option<Current<'a>>,
    /// What the current one was asked, if it was.
    pub asked: Option<Asked>,
    /// Two starts, of which both live.
    pub dispute: Option<Dispute>,
    /// A standby has taken over, and may lack the latest starts: as for links.
    pub fenced: bool,
}

/// The incarnation that has not ended.
#[derive(Debug, Clone, Copy)]
pub struct Current<'a> {
    /// Which it is.
    pub of: Incarnated,
    /// What it signs with now.
    pub key: &'a VerifyingKey,
    /// Milliseconds since a replica that holds its stream of events touched its row.
    pub touched: Option<u64>,
}

/// A question to the current incarnation.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// The start that it is about.
    pub about: StartHash,
    /// Milliseconds since: when the answer came or, without one, now.
    pub waited: u64,
    /// Its answer.
    pub answer: Option<Presence>,
}

/// Two starts, of which both live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dispute {
    /// The one that was refused.
    pub newer: StartHash,
    /// Milliseconds since it was refused.
    pub age: u64,
    /// What people chose.
    pub choice: Option<Choice>,
}

/// Which of two starts is the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The one that was there.
    Older,
    /// The one that was refused.
    Newer,
}

/// What a well-signed start is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartVerdict {
    /// The recorded one again: the same answer again.
    Repeat,
    /// A later start of the same folder names it. It has ended, and changes nothing.
    Overtaken,
    /// It is the endpoint from here on; this one's bundles end.
    Accept {
        /// The incarnation before it, if that has not ended.
        ends: Option<StartHash>,
    },
    /// The current incarnation is to be asked about it.
    Ask,
    /// It was asked, and has time left.
    Wait,
    /// Refused with `identity-in-use`, and people are told. It uses up no counter; nothing
    /// is drawn or renewed until they choose.
    InUse,
    /// Refused: people chose the other one.
    Declined,
    /// Nobody chose in time: both starts end.
    BothEnd,
    /// The folder or the long-term key was copied. The identity ends.
    Collision(StartCollision),
}

/// Two starts that one folder does not make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartCollision {
    /// A counter that is used up, and no later start names this one.
    Counter {
        /// The recorded start of that counter or the next above.
        recorded: StartHash,
    },
    /// It goes back to another start than the recorded one of that counter.
    Ancestor {
        /// The recorded one.
        recorded: StartHash,
    },
    /// It says that a start was answered which nobody recorded.
    Unknown {
        /// What it names.
        answered: StartHash,
    },
}

/// Judges a start. After [`StartVerdict::Ask`] it is judged again with what was asked.
///
/// # Errors
/// [`IdentityError::Subject`] or [`IdentityError::Signature`]: it is not the endpoint's
/// word.
pub fn judge_start(
    start: &SignedStart,
    facts: &StartFacts<'_>,
) -> Result<StartVerdict, IdentityError> {
    let start = start.verify(&facts.endpoint, facts.long_term)?;
    let hash = start.hash();
    if facts.declined.contains(&hash) {
        return Ok(StartVerdict::Declined);
    }
    if let Some(verdict) = beside_recorded(start, hash, facts) {
        return Ok(verdict);
    }
    if let Some(verdict) = facts
        .dispute
        .and_then(|dispute| dispute.verdict(hash, facts))
    {
        return Ok(verdict);
    }
    let ends = facts.current.map(|current| current.of.start);
    let accept = StartVerdict::Accept { ends };
    let Some(current) = facts.current else {
        return Ok(accept);
    };
    let asked = facts.asked.filter(|asked| asked.about == hash);
    Ok(match asked {
        Some(asked) if asked.proves(&current, hash) => StartVerdict::InUse,
        Some(asked) if asked.waited <= ANSWER_MS => StartVerdict::Wait,
        Some(_) => accept,
        None => match current.touched {
            Some(touched) if touched <= STREAM_MS => StartVerdict::Ask,
            _ => accept,
        },
    })
}

/// What is plain from the recorded starts: nothing for a new one that goes back to them.
fn beside_recorded(start: &Start, hash: StartHash, facts: &StartFacts<'_>) -> Option<StartVerdict> {
    let recorded = facts.recorded;
    if recorded.iter().any(|one| one.hash() == hash) {
        return Some(StartVerdict::Repeat);
    }
    let at = |counter| recorded.iter().find(|one| one.counter() == counter);
    let counter = start.counter();
    // What was answered is recorded, so the list of the first recorded start above reaches
    // back to this one if both are of one folder: unless a standby lost what is between.
    if let Some(above) = recorded.iter().find(|one| one.counter() >= counter) {
        let lost = above.anchor() > counter && at(above.anchor()).is_none();
        return Some(match lost || above.ancestor(counter) == Some(hash) {
            true => StartVerdict::Overtaken,
            false => StartVerdict::Collision(StartCollision::Counter {
                recorded: above.hash(),
            }),
        });
    }
    let differs = recorded.iter().find_map(|one| {
        let recorded = one.hash();
        let named = start.ancestor(one.counter())?;
        (named != recorded).then_some(StartCollision::Ancestor { recorded })
    });
    let anchor = start.anchor();
    let unknown = anchor > 0 && at(anchor).is_none() && !facts.fenced;
    let unknown = unknown.then_some(StartCollision::Unknown {
        answered: start.answered,
    });
    differs.or(unknown).map(StartVerdict::Collision)
}

impl Asked {
    fn proves(&self, current: &Current<'_>, about: StartHash) -> bool {
        let answer = self.answer.filter(|_| self.waited <= ANSWER_MS);
        answer.is_some_and(|answer| answer.verify(&current.of, current.key, about))
    }
}

impl Dispute {
    /// What a start gets while this lasts; nothing if it is judged as if there were none.
    fn verdict(&self, hash: StartHash, facts: &StartFacts<'_>) -> Option<StartVerdict> {
        let newer = hash == self.newer;
        match self.choice {
            None if self.age > DISPUTE_MS => Some(StartVerdict::BothEnd),
            None => Some(StartVerdict::InUse),
            Some(Choice::Older) => newer.then_some(StartVerdict::Declined),
            Some(Choice::Newer) if newer => Some(StartVerdict::Accept {
                ends: facts.current.map(|current| current.of.start),
            }),
            Some(Choice::Newer) => Some(StartVerdict::InUse),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v2::identity::{
        starting::StartRecord,
        testing::{Endpoint, long_term},
    };

    struct Record {
        key: VerifyingKey,
        recorded: Vec<Start>,
        declined: Vec<StartHash>,
        current: Option<(Incarnated, VerifyingKey, Option<u64>)>,
        asked: Option<Asked>,
        dispute: Option<Dispute>,
        fenced: bool,
    }

    impl Record {
        fn of(starts: &[&Endpoint]) -> Self {
            let said = |one: &&Endpoint| one.incarnation.start().unverified().clone();
            let current = starts.last().map(|one| {
                let key = one.incarnation.keys().key;
                (one.incarnation.of(), key, None)
            });
            Self {
                key: long_term().verifying_key(),
                recorded: starts.iter().map(said).collect(),
                declined: Vec::new(),
                current,
                asked: None,
                dispute: None,
                fenced: false,
            }
        }

        fn judge(&self, endpoint: &Endpoint) -> StartVerdict {
            let facts = StartFacts {
                endpoint: [1; 16],
                long_term: &self.key,
                recorded: &self.recorded,
                declined: &self.declined,
                current: self.current.as_ref().map(|(of, key, touched)| Current {
                    of: *of,
                    key,
                    touched: *touched,
                }),
                asked: self.asked,
                dispute: self.dispute,
                fenced: self.fenced,
            };
            judge_start(endpoint.incarnation.start(), &facts).unwrap()
        }
    }

    fn hash(endpoint: &Endpoint) -> StartHash {
        endpoint.incarnation.of().start
    }

    /// First, and what follows it: from its record before it was answered and after.
    fn chain() -> (Endpoint, Endpoint, Endpoint) {
        let first = Endpoint::started(1);
        let mut rng = first.rng.clone();
        let unanswered = StartRecord::new([1; 16]);
        let made = unanswered.begin(long_term(), &mut rng).unwrap();
        let kept = made.bytes().to_vec();
        let started = made.kept().accepted();
        let lost = Endpoint {
            incarnation: started.incarnation,
            chain: started.chain,
            record: started.record,
            rng,
        };
        let kept = StartRecord::from_bytes(&kept).unwrap();
        let next = Endpoint::after(&kept, 3);
        let third = Endpoint::after(&next.record, 4);
        (lost, next, third)
    }

    #[test]
    fn honest_restarts_accuse_nobody() {
        let (lost, next, third) = chain();
        let accept = |ends| StartVerdict::Accept { ends };
        // Kept and never sent; or recorded, and the answer was lost.
        assert_eq!(Record::of(&[]).judge(&lost), accept(None));
        assert_eq!(Record::of(&[]).judge(&next), accept(None));
        let ends = Some(hash(&lost));
        assert_eq!(Record::of(&[&lost]).judge(&next), accept(ends));
        assert_eq!(Record::of(&[&lost]).judge(&lost), StartVerdict::Repeat);
        // Overtaken on its way.
        assert_eq!(Record::of(&[&next]).judge(&lost), StartVerdict::Overtaken);
        let all = Record::of(&[&next, &third]);
        assert_eq!(all.judge(&lost), StartVerdict::Overtaken);
        assert_eq!(all.judge(&next), StartVerdict::Repeat);
    }

    #[test]
    fn a_copied_folder_is_found_by_its_counter_or_its_past() {
        let (lost, next, third) = chain();
        let copy = Endpoint::after(&next.record, 9);
        let after_copy = Endpoint::after(&copy.record, 10);
        let record = Record::of(&[&next, &third]);
        let recorded = hash(&third);
        let counter = StartVerdict::Collision(StartCollision::Counter { recorded });
        assert_eq!(record.judge(&copy), counter);
        let ancestor = StartVerdict::Collision(StartCollision::Ancestor { recorded });
        assert_eq!(record.judge(&after_copy), ancestor);
        // A stranger to the list of the next one.
        let other = Endpoint::started(7);
        let recorded = hash(&next);
        let counter = StartVerdict::Collision(StartCollision::Counter { recorded });
        assert_eq!(Record::of(&[&next]).judge(&other), counter);
        assert_eq!(Record::of(&[&next]).judge(&lost), StartVerdict::Overtaken);
    }

    /// Also if it pretends that a start was answered of which nobody knows.
    #[test]
    fn an_invented_past_is_taken_behind_a_fence_alone() {
        let (lost, next, third) = chain();
        let answered = hash(&next);
        let mut record = Record::of(&[]);
        let unknown = StartVerdict::Collision(StartCollision::Unknown { answered });
        assert_eq!(record.judge(&third), unknown);
        record.fenced = true;
        assert_eq!(record.judge(&third), StartVerdict::Accept { ends: None });
        // What the standby lost and is late accuses nobody.
        let record = Record::of(&[&third]);
        assert_eq!(record.judge(&lost), StartVerdict::Overtaken);
        assert_eq!(record.judge(&next), StartVerdict::Overtaken);
    }

    #[test]
    fn the_first_is_asked_and_its_answer_refuses_the_second() {
        let first = Endpoint::started(1);
        let second = Endpoint::after(&first.record, 2);
        let mut record = Record::of(&[&first]);
        let mut touched = |ms| {
            record.current = record.current.map(|(of, key, _)| (of, key, ms));
            record.judge(&second)
        };
        let accept = StartVerdict::Accept {
            ends: Some(hash(&first)),
        };
        assert_eq!(touched(None), accept);
        assert_eq!(touched(Some(STREAM_MS + 1)), accept);
        assert_eq!(touched(Some(STREAM_MS)), StartVerdict::Ask);
        let about = hash(&second);
        let mut asked = |about, waited, answer| {
            record.asked = Some(Asked {
                about,
                waited,
                answer,
            });
            record.judge(&second)
        };
        let here = first.incarnation.present(about);
        assert_eq!(asked(about, 100, None), StartVerdict::Wait);
        assert_eq!(asked(about, ANSWER_MS + 1, None), accept);
        assert_eq!(asked(about, ANSWER_MS, here), StartVerdict::InUse);
        assert_eq!(asked(about, ANSWER_MS + 1, here), accept);
        // The second's own word, or one about another start, is none.
        let own = second.incarnation.present(hash(&first));
        assert_eq!(asked(about, 100, own), StartVerdict::Wait);
        let other = first.incarnation.present(StartHash([9; 32]));
        assert_eq!(asked(about, 100, other), StartVerdict::Wait);
        assert_eq!(asked(StartHash([9; 32]), 100, here), StartVerdict::Ask);
    }

    #[test]
    fn people_choose_between_two() {
        let first = Endpoint::started(1);
        let second = Endpoint::after(&first.record, 2);
        let third = Endpoint::after(&first.record, 3);
        let mut record = Record::of(&[&first]);
        let mut judge = |age, choice, start: &Endpoint| {
            record.dispute = Some(Dispute {
                newer: hash(&second),
                age,
                choice,
            });
            record.judge(start)
        };
        let accept = StartVerdict::Accept {
            ends: Some(hash(&first)),
        };
        for start in [&second, &third] {
            assert_eq!(judge(DISPUTE_MS, None, start), StartVerdict::InUse);
            assert_eq!(judge(DISPUTE_MS + 1, None, start), StartVerdict::BothEnd);
        }
        assert_eq!(judge(0, None, &first), StartVerdict::Repeat);
        assert_eq!(judge(0, Some(Choice::Newer), &second), accept);
        assert_eq!(judge(0, Some(Choice::Newer), &third), StartVerdict::InUse);
        let older = Some(Choice::Older);
        assert_eq!(judge(0, older, &second), StartVerdict::Declined);
        // The refused one used no counter up: the owner's next start has the same.
        assert_eq!(judge(0, older, &third), accept);
        let mut record = Record::of(&[&first, &third]);
        record.declined = vec![hash(&second)];
        assert_eq!(record.judge(&second), StartVerdict::Declined);
    }
}
