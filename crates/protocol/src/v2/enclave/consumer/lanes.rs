//! A bundle's lanes at the consumer's end: each number is used once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::v2::{
    context::Context,
    enclave::core::{Core, LaneMarks},
    error::LanesError,
    gate::Gate,
    schedule::{BundleKeys, BundleSecret},
};

use super::states::Fresh;

/// A bundle as its consumer holds it.
pub struct Lanes {
    context: Arc<Context>,
    keys: BundleKeys,
    max_lanes: u16,
    /// None once all are used up.
    next: Option<u16>,
    open: BTreeSet<u16>,
    ended: BTreeMap<u16, LaneMarks>,
}

impl Lanes {
    /// A bundle with no lanes yet. Nobody may make it twice of one secret: its lanes would
    /// start over.
    pub fn new(context: Arc<Context>, secret: BundleSecret, max_lanes: u16) -> Self {
        Self {
            context,
            keys: secret.into_keys(),
            max_lanes,
            next: Some(0),
            open: BTreeSet::new(),
            ended: BTreeMap::new(),
        }
    }

    /// The gate, for the proxy.
    pub fn gate(&self) -> Gate {
        self.keys.gate(&self.context)
    }

    /// The next lane.
    ///
    /// # Errors
    /// [`LanesError::Busy`] or [`LanesError::UsedUp`].
    pub fn fresh(&mut self) -> Result<Fresh, LanesError> {
        if self.open.len() >= usize::from(self.max_lanes) {
            return Err(LanesError::Busy);
        }
        let number = self.next.ok_or(LanesError::UsedUp)?;
        self.next = number.checked_add(1);
        self.open.insert(number);
        let core = Core::new(&self.keys, self.context.clone(), number);
        Ok(Fresh { core })
    }

    /// A lane was closed or given up; what it came to is kept.
    pub fn ended(&mut self, marks: impl Into<LaneMarks>) {
        let marks = marks.into();
        let lane = marks.mark.lane;
        if self.open.remove(&lane) {
            self.ended.insert(lane, marks);
        }
    }

    /// What became of a lane that has ended.
    pub fn mark(&self, lane: u16) -> Option<&LaneMarks> {
        self.ended.get(&lane)
    }

    /// What became of all lanes that have ended, ascending.
    pub fn ended_marks(&self) -> impl Iterator<Item = &LaneMarks> {
        self.ended.values()
    }
}
