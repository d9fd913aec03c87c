//! How people sign in and out.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::AccessRole;

wire! {
    /// An issuer that people of a tenant may sign in with.
    pub struct SignInChoice { pub issuer_id: Uuid, pub name: String }

    /// A person's session.
    pub struct Session {
        pub id: Uuid,
        pub issuer_id: Uuid,
        pub subject: String,
        pub name: String,
        pub role: AccessRole,
        pub user_agent: String,
        pub created_at: DateTime<Utc>,
        pub last_used_at: DateTime<Utc>,
        pub expires_at: DateTime<Utc>,
        pub ended_at: Option<DateTime<Utc>>,
        /// Whether it is the calling one.
        pub current: bool,
    }

    /// The end of a session.
    pub struct LoggedOut {
        /// Where the browser goes to end the provider's session too, if it can.
        pub redirect: Option<String>,
    }
}
