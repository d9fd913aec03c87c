//! What several resources share.

use uuid::Uuid;

wire! {
    /// Why an operator does what cannot be undone.
    #[serde(deny_unknown_fields)]
    pub struct Reason {
        /// 1 to 500 characters; kept in the audit log.
        pub reason: String,
    }

    /// A secret that is shown this once, and its id.
    pub struct CreatedSecret { pub id: Uuid, pub token: String }
}
