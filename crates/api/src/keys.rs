//! The service's own keys; never their secrets.

use chrono::{DateTime, Utc};
use uuid::Uuid;

wire! {
    /// A version of the master key; never the key.
    pub struct KeyVersion {
        pub version: i32,
        pub state: KeyState,
        pub created_at: DateTime<Utc>,
        pub retired_at: Option<DateTime<Utc>>,
        /// Whether the replica that answers has loaded it.
        pub loaded: bool,
    }

    /// What a master key's version is for.
    #[derive(Copy, Eq, strum::EnumString, strum::IntoStaticStr)]
    #[serde(rename_all = "lowercase")]
    #[strum(serialize_all = "lowercase", const_into_str)]
    pub enum KeyState {
        /// Loaded, opens what it sealed, seals nothing new.
        Standby,
        /// Seals everything.
        Active,
        /// Refused, even where it is still loaded.
        Retired,
    }

    /// A rotation: every sealed secret is sealed anew under another version.
    pub struct KeyRotation {
        pub id: Uuid,
        pub to_version: i32,
        /// How many secrets were under another version at the start.
        pub total: i64,
        pub done: i64,
        pub started_at: DateTime<Utc>,
        pub finished_at: Option<DateTime<Utc>>,
    }

    /// Asks for a rotation to a loaded version of the master key.
    #[serde(deny_unknown_fields)]
    pub struct NewKeyRotation { pub to_version: i32 }

    /// A key that signs endpoints' access tokens; never its secret.
    pub struct SigningKey {
        pub kid: String,
        pub created_at: DateTime<Utc>,
        pub activates_at: DateTime<Utc>,
        pub retires_at: Option<DateTime<Utc>>,
    }
}
