//! Enrolled agents, and the tokens by which they enrol.

use armour_api::{
    ChooseStart, CreatedSecret, Endpoint, EndpointStart, EnrolmentToken, NewEnrolmentToken, Page,
    Reason, Role, SetCertificate, StartChoice, StartDispute,
};
use uuid::Uuid;

use super::because;
use crate::{Call, Client};

impl Client {
    /// Creates an enrolment token, which lasts an hour.
    pub fn create_enrolment_token(
        &self,
        role: Role,
        party: Uuid,
    ) -> Call<'_, CreatedSecret, NewEnrolmentToken> {
        self.create_enrolment_token_for(role, party, None)
    }

    /// Creates an enrolment token, which lasts so many seconds.
    pub fn create_enrolment_token_for(
        &self,
        role: Role,
        party: Uuid,
        expires_in_s: Option<u32>,
    ) -> Call<'_, CreatedSecret, NewEnrolmentToken> {
        let new = NewEnrolmentToken {
            role,
            party_id: party,
            expires_in_s,
        };
        self.act("/v1/enrolment-tokens", new)
    }

    /// Enrolment tokens, without their secrets.
    pub fn enrolment_tokens(&self) -> Call<'_, Page<EnrolmentToken>> {
        self.read("/v1/enrolment-tokens")
    }

    /// Endpoints.
    pub fn endpoints(&self) -> Call<'_, Page<Endpoint>> {
        self.read("/v1/endpoints")
    }

    /// An endpoint.
    pub fn endpoint_by_id(&self, id: Uuid) -> Call<'_, Endpoint> {
        self.read(format!("/v1/endpoints/{id}"))
    }

    /// An endpoint's starts, latest first.
    pub fn starts(&self, id: Uuid) -> Call<'_, Page<EndpointStart>> {
        self.read(format!("/v1/endpoints/{id}/starts"))
    }

    /// Endpoints of which two starts both live.
    pub fn start_disputes(&self) -> Call<'_, Page<StartDispute>> {
        self.read("/v1/start-disputes")
    }

    /// Chooses between two starts of an endpoint that both live.
    pub fn choose_start(&self, id: Uuid, keep: StartChoice) -> Call<'_, Endpoint, ChooseStart> {
        self.act(
            format!("/v1/endpoints/{id}/start-choice"),
            ChooseStart { keep },
        )
    }

    /// Sets the party's certificate of an endpoint, in base64.
    pub fn set_certificate(
        &self,
        id: Uuid,
        certificate: &str,
    ) -> Call<'_, Endpoint, SetCertificate> {
        let set = SetCertificate {
            certificate: certificate.to_owned(),
        };
        self.replace(format!("/v1/endpoints/{id}/certificate"), set)
    }

    /// Revokes an endpoint and disconnects its bundles.
    pub fn revoke_endpoint(&self, id: Uuid, reason: &str) -> Call<'_, Endpoint, Reason> {
        self.act(format!("/v1/endpoints/{id}/revoke"), because(reason))
    }
}
