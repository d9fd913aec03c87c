//! Collisions, and the evidence of them.

use armour_api::{Collision, Evidence, Page};
use uuid::Uuid;

use crate::{Call, Client};

impl Client {
    /// Collisions, latest first.
    pub fn collisions(&self) -> Call<'_, Page<Collision>> {
        self.read("/v1/collisions")
    }

    /// A collision.
    pub fn collision(&self, id: Uuid) -> Call<'_, Collision> {
        self.read(format!("/v1/collisions/{id}"))
    }

    /// What a third party needs to check a collision.
    pub fn evidence(&self, collision: Uuid) -> Call<'_, Evidence> {
        self.read(format!("/v1/collisions/{collision}/evidence"))
    }
}
