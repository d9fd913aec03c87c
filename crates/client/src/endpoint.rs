//! What endpoints call.

use armour_api::{
    BundleGrant, Disown, DrawBundle, Endpoint, EndpointSelf, Enrol, Heartbeat, HeartbeatAck,
    LogHead, LogRestart, LostHead, ReportTickets, ReportVerdict, ReportedTickets, SignedHead,
    TicketReport,
};
use reqwest::Method;
use uuid::Uuid;

use crate::{Client, Result};

impl Client {
    /// Enrols; the client's token is the enrolment token.
    ///
    /// # Errors
    /// If refused or out of reach; so for all calls below.
    pub async fn enrol(&self, enrol: &Enrol) -> Result<Endpoint> {
        self.post("/v1/enrol", enrol).await
    }

    /// Enrols in a tenant by a workload's identity; the client's token is the
    /// workload's.
    ///
    /// # Errors
    /// As above.
    pub async fn enrol_workload(&self, tenant: Uuid, enrol: &Enrol) -> Result<Endpoint> {
        self.post(&format!("/v1/enrol/workload/{tenant}"), enrol)
            .await
    }

    /// The calling endpoint and its pairs.
    ///
    /// # Errors
    /// As above.
    pub async fn endpoint(&self) -> Result<EndpointSelf> {
        self.get("/v1/endpoint").await
    }

    /// The audit log's latest head, and how it follows from the one of a size.
    ///
    /// # Errors
    /// As above.
    pub async fn log_head(&self, since: Option<u64>) -> Result<LogHead> {
        self.get(&with_size("/v1/endpoint/log", "since", since))
            .await
    }

    /// How the log goes on after a head that it no longer holds.
    ///
    /// # Errors
    /// `nothing-lost` if it does hold it.
    pub async fn log_restart(&self, head: &SignedHead) -> Result<LogRestart> {
        let lost = LostHead { head: head.clone() };
        self.post("/v1/endpoint/log/restart", &lost).await
    }

    /// Requests a bundle; with the size of the pinned head also what the audit log
    /// says of the endpoints' keys.
    ///
    /// # Errors
    /// As above.
    pub async fn request_bundle(&self, pair: Uuid, pinned: Option<u64>) -> Result<BundleGrant> {
        let request = DrawBundle {
            pair_id: pair,
            pinned,
            number: None,
        };
        self.request_numbered_bundle(&request).await
    }

    /// Requests a bundle, numbered so that it does not supersede a later one.
    ///
    /// # Errors
    /// As above; `draw-over` if a later one was made.
    pub async fn request_numbered_bundle(&self, request: &DrawBundle) -> Result<BundleGrant> {
        self.post("/v1/endpoint/bundles", request).await
    }

    /// A bundle of the calling endpoint; `pinned` as above.
    ///
    /// # Errors
    /// As above.
    pub async fn bundle_grant(&self, id: Uuid, pinned: Option<u64>) -> Result<BundleGrant> {
        let path = format!("/v1/endpoint/bundles/{id}");
        self.get(&with_size(&path, "pinned", pinned)).await
    }

    /// Says that the endpoint holds the bundle's secret.
    ///
    /// # Errors
    /// As above.
    pub async fn acknowledge_bundle(&self, id: Uuid) -> Result<()> {
        self.post_empty(&format!("/v1/endpoint/bundles/{id}/acknowledge"))
            .await
    }

    /// Says that the bundle was superseded at a request that is not the consumer's own.
    ///
    /// # Errors
    /// As above.
    pub async fn disown_successor(&self, bundle: Uuid) -> Result<()> {
        self.post_empty(&format!("/v1/endpoint/bundles/{bundle}/disown-successor"))
            .await
    }

    /// Reports tickets.
    ///
    /// # Errors
    /// As above.
    pub async fn report(&self, reports: Vec<TicketReport>) -> Result<Vec<ReportVerdict>> {
        let reports = ReportTickets { reports };
        let answer: ReportedTickets = self.post("/v1/endpoint/reports", &reports).await?;
        Ok(answer.verdicts)
    }

    /// Says that a recorded ticket is not the consumer's own.
    ///
    /// # Errors
    /// As above.
    pub async fn disown(&self, disown: &Disown) -> Result<()> {
        let path = "/v1/endpoint/disown";
        self.send(Method::POST, path, Some(disown)).await.map(drop)
    }

    /// A sign of life.
    ///
    /// # Errors
    /// As above.
    pub async fn heartbeat(&self, heartbeat: &Heartbeat) -> Result<HeartbeatAck> {
        self.post("/v1/endpoint/heartbeat", heartbeat).await
    }
}

/// A path that asks about the log's tree of a size, if there is one.
fn with_size(path: &str, name: &str, size: Option<u64>) -> String {
    match size {
        Some(size) => format!("{path}?{name}={size}"),
        None => path.to_owned(),
    }
}
