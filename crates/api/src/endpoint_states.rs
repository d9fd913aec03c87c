//! What an endpoint may do.

wire! {
    /// Whether an endpoint may act.
    #[derive(Copy, Eq, strum::EnumString, strum::IntoStaticStr)]
    #[serde(rename_all = "lowercase")]
    #[strum(serialize_all = "lowercase", const_into_str)]
    pub enum EndpointState { Active, Revoked, Collided }
}
