//! What endpoints call.

use armour_api::{
    AnnounceStart, AnswerPresence, Assignments, BundleGrant, Endpoint, EndpointSelf, Enrol,
    LaneReport, LinkAnswer, LogHead, LogRestart, LostHead, PendingBundles, ReportExchanges,
    ReportVerdict, ReportedExchanges, SendLink, ShowReceipt, SignedHead, StartAccepted,
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

    /// The calling endpoint and its pairs, all of them.
    ///
    /// # Errors
    /// As above.
    pub async fn endpoint(&self) -> Result<EndpointSelf> {
        let mut own: EndpointSelf = self.get("/v1/endpoint").await?;
        while let Some(after) = own.next.take() {
            let path = format!("/v1/endpoint?after={after}");
            let more: EndpointSelf = self.get(&path).await?;
            own.pairs.extend(more.pairs);
            own.draws.extend(more.draws);
            // Pages follow each other; what does not would have no end.
            own.next = more.next.filter(|next| *next > after);
        }
        Ok(own)
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

    /// Announces a start, which is signed and needs no token.
    ///
    /// # Errors
    /// `identity-in-use` while an earlier start lives; `start-ended`, `identity-collided`
    /// and `endpoint-revoked` for good.
    pub async fn announce_start(&self, announce: &AnnounceStart) -> Result<StartAccepted> {
        let anybody = self.with_token("");
        anybody.post("/v1/endpoint/starts", announce).await
    }

    /// Says that the living start lives, by its signature and without a token.
    ///
    /// # Errors
    /// As above.
    pub async fn answer_presence(&self, answer: &AnswerPresence) -> Result<()> {
        let path = "/v1/endpoint/presence";
        let anybody = self.with_token("");
        anybody
            .send(Method::POST, path, Some(answer))
            .await
            .map(drop)
    }

    /// Sends a link of the endpoint's chain, which is signed and needs no token.
    ///
    /// # Errors
    /// `not-this-chain` if its start is not known; `start-ended`, `identity-collided` and
    /// `endpoint-revoked` for good.
    pub async fn send_link(&self, link: &SendLink) -> Result<LinkAnswer> {
        let anybody = self.with_token("");
        anybody.post("/v1/endpoint/links", link).await
    }

    /// The calling consumer endpoint's bundles, what their producers' endpoints are, and how
    /// many it should hold.
    ///
    /// # Errors
    /// As above.
    pub async fn assignments(&self) -> Result<Assignments> {
        self.get("/v1/endpoint/assignments").await
    }

    /// Bundles that the calling endpoint has not acknowledged.
    ///
    /// # Errors
    /// As above.
    pub async fn pending_bundles(&self) -> Result<Vec<Uuid>> {
        let pending: PendingBundles = self.get("/v1/endpoint/bundles").await?;
        Ok(pending.bundles)
    }

    /// A bundle of the calling endpoint; with the size of the pinned head also what the
    /// audit log says of the two endpoints' keys.
    ///
    /// # Errors
    /// `log-behind` if the log is shorter than that.
    pub async fn bundle_grant(&self, id: Uuid, pinned: Option<u64>) -> Result<BundleGrant> {
        let path = format!("/v1/endpoint/bundles/{id}");
        self.get(&with_size(&path, "pinned", pinned)).await
    }

    /// Reports tickets and receipts; a verdict for each report, in order.
    ///
    /// # Errors
    /// As above.
    pub async fn report(&self, reports: Vec<LaneReport>) -> Result<Vec<ReportVerdict>> {
        let reports = ReportExchanges { reports };
        let answer: ReportedExchanges = self.post("/v1/endpoint/reports", &reports).await?;
        Ok(answer.verdicts)
    }

    /// Shows a receipt that the ledger asked for.
    ///
    /// # Errors
    /// As above.
    pub async fn show_receipt(&self, shown: &ShowReceipt) -> Result<()> {
        let path = "/v1/endpoint/receipts";
        self.send(Method::POST, path, Some(shown)).await.map(drop)
    }
}

/// A path that asks about the log's tree of a size, if there is one.
fn with_size(path: &str, name: &str, size: Option<u64>) -> String {
    match size {
        Some(size) => format!("{path}?{name}={size}"),
        None => path.to_owned(),
    }
}
