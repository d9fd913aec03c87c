//! Receivers that are told of events.

use armour_api::{CreatedWebhook, Delivery, NewWebhook, Page, Webhook};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{Call, Client, Result};

impl Client {
    /// Adds a receiver.
    pub fn create_webhook(&self, new: NewWebhook) -> Call<'_, CreatedWebhook, NewWebhook> {
        self.act("/v1/webhooks", new)
    }

    /// Receivers.
    pub fn webhooks(&self) -> Call<'_, Page<Webhook>> {
        self.read("/v1/webhooks")
    }

    /// A receiver.
    pub fn webhook(&self, id: Uuid) -> Call<'_, Webhook> {
        self.read(format!("/v1/webhooks/{id}"))
    }

    /// Removes a receiver.
    ///
    /// # Errors
    /// If refused or out of reach.
    pub async fn delete_webhook(&self, id: Uuid) -> Result<()> {
        self.delete(&format!("/v1/webhooks/{id}")).await
    }

    /// Has a receiver told again that was disabled, since it said that it is gone.
    pub fn enable_webhook(&self, id: Uuid) -> Call<'_, Webhook, Map<String, Value>> {
        self.act(format!("/v1/webhooks/{id}/enable"), Map::new())
    }

    /// What a receiver was told, or is to be.
    pub fn deliveries(&self, webhook: Uuid) -> Call<'_, Page<Delivery>> {
        self.read(format!("/v1/webhooks/{webhook}/deliveries"))
    }

    /// Tells a receiver again.
    pub fn replay(&self, webhook: Uuid, delivery: Uuid) -> Call<'_, Delivery, Map<String, Value>> {
        let path = format!("/v1/webhooks/{webhook}/deliveries/{delivery}/replay");
        self.act(path, Map::new())
    }
}
