//! Producers and consumers.

use armour_api::{NewNamed, Page, Party, Role};
use uuid::Uuid;

use crate::{Call, Client};

impl Client {
    /// Registers a producer or consumer.
    pub fn create_party(&self, role: Role, name: &str) -> Call<'_, Party, NewNamed> {
        let new = NewNamed { name: name.into() };
        self.act(path(role), new)
    }

    /// Producers or consumers.
    pub fn parties(&self, role: Role) -> Call<'_, Page<Party>> {
        self.read(path(role))
    }

    /// A producer or consumer.
    pub fn party(&self, role: Role, id: Uuid) -> Call<'_, Party> {
        self.read(format!("{}/{id}", path(role)))
    }
}

fn path(role: Role) -> &'static str {
    match role {
        Role::Consumer => "/v1/consumers",
        Role::Producer => "/v1/producers",
    }
}
