//! Producers and consumers.

use chrono::{DateTime, Utc};
use uuid::Uuid;

wire! {
    /// Which side of a pair an endpoint is on.
    #[derive(Copy, Eq, Hash, strum::EnumString, strum::IntoStaticStr)]
    #[serde(rename_all = "lowercase")]
    #[strum(serialize_all = "lowercase", const_into_str)]
    pub enum Role { Consumer, Producer }

    /// A producer or a consumer.
    pub struct Party { pub id: Uuid, pub name: String, pub created_at: DateTime<Utc> }

    /// A new producer or consumer.
    #[serde(deny_unknown_fields)]
    pub struct NewNamed {
        /// 1 to 100 characters.
        pub name: String,
    }
}
