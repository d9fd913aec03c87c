//! What a refusal says.

wire! {
    /// An RFC 9457 problem document.
    pub struct Problem {
        /// Stable identifier of the kind of problem.
        pub r#type: String,
        /// Short summary of the kind.
        pub title: String,
        /// HTTP status.
        pub status: u16,
        /// What was wrong with this request.
        pub detail: String,
        /// The request's id, as in the `x-request-id` header.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub request_id: Option<String>,
    }
}
