//! Composes the service from its domains: their states, their routes, their jobs.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context as _, bail};
use armour_ambient::Ambient;
use armour_storage::{Actor, Store};
use axum::{
    Router,
    extract::{DefaultBodyLimit, FromRef},
    middleware,
};
use chrono::Duration;
use prometheus::Registry;
use sha2::{Digest, Sha256};
use tokio::{runtime::Handle, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;
use tower_http::{
    catch_panic::CatchPanicLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
};
use url::Url;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;

use crate::{
    audit,
    config::{Config, read_secret},
    events::{
        self, EventStreams, OpenStreams, announcements, batch_reader::EventBatchReader,
        notifier::EventNotifier,
    },
    http::{
        BODY_LIMIT, console, idempotency, measure,
        openapi::{self, ApiDoc},
        origin, other_release, problem, protect,
        rate_limit::{self, Bodies, BurstLimiter, Rates, TrustedProxies},
        reference,
    },
    identity::{
        self,
        authn::{
            self, Accepted, Authn, ProofConsumer, denial::DenialLog, known_endpoints,
            signed_calls::SignedCalls, signing,
        },
        oidc::{Oidc, Providers},
    },
    jobs::{self, Job},
    ledger::{self, disputes, record::Ledger, unwitnessed},
    pairing::{self, DrawTogether, FleetWatch, lost_endpoints},
    platform::{database, egress::Egresses, group_commit::GroupCommit, internal_listener, metrics},
    platform_admin::{
        self,
        health::{self, LastReady, Readiness},
        presence, rotation, upkeep,
    },
    tenancy,
    webhooks::{self, delivery},
};

/// The service's state, of which each domain takes its part; cheap to clone.
#[derive(Clone)]
pub struct App {
    /// The database.
    pub store: Store,
    /// What it was started with.
    pub config: Arc<Config>,
    /// Cancelled when this replica is about to stop: it serves, but asks for no more.
    pub draining: CancellationToken,
    /// Cancelled when it stops: streams end, calls under way are finished.
    pub stopping: CancellationToken,
    replica: Uuid,
    egresses: Egresses,
    burst_limiter: Arc<BurstLimiter>,
    authn: Arc<Authn>,
    oidc: Arc<Oidc>,
    ledger: Arc<GroupCommit<Ledger>>,
    events: Arc<EventStreams>,
    fleet_watch: Arc<FleetWatch>,
    draws: Arc<GroupCommit<DrawTogether>>,
    last_ready: Arc<LastReady>,
}

impl App {
    /// Reads keys, connects and, if asked to, migrates.
    ///
    /// # Errors
    /// If a key is missing, malformed or another than the database knows, the
    /// database cannot be reached, or its role is not bound by row-level security.
    pub async fn start(config: Config, ambient: Ambient) -> anyhow::Result<Self> {
        let keyring = config.keyring()?;
        let file = config.platform_token_file.as_deref();
        let platform = read_secret(file.context("give --platform-token-file")?)?;
        if platform.len() < 32 {
            bail!("the platform token must have at least 32 characters");
        }
        if config.migrate {
            database::migrate(&config.database, &ambient).await?;
        }
        let store = database::open(&config.database, keyring, &ambient).await?;
        prepare(&store).await?;
        let stopping = CancellationToken::new();
        let draining = CancellationToken::new();
        let egresses = Egresses::new(&config.egress)?;
        let denials = Arc::new(DenialLog::new(store.clone()));
        let authn = Authn {
            store: store.clone(),
            platform_hash: Sha256::digest(platform.as_bytes()).into(),
            session_idle: config.session_idle(),
            addresses: config.addresses(),
            accepted: Accepted::default(),
            rates: Rates::default(),
            signed_calls: SignedCalls::new(config.rate_limit),
            denials: denials.clone(),
            proofs: GroupCommit::new(ProofConsumer(store.clone())),
            signing: signing::SigningKeys::load(&store)
                .await
                .map_err(|_| anyhow::anyhow!("load the signing keys"))?,
        };
        let authn = Arc::new(authn);
        known_endpoints::load(&authn, &stopping).await;
        let oidc = Oidc {
            store: store.clone(),
            egresses: egresses.clone(),
            providers: Providers::default(),
            base_url: base_url(&config)?,
            denials,
            session_life_s: config.session_life_s,
            session_idle: config.session_idle(),
        };
        let fleet_watch = Arc::new(FleetWatch::default());
        announcements::start(store.clone(), stopping.clone());
        let events = EventStreams {
            open: OpenStreams::new(config.event_streams),
            notifier: EventNotifier::start(store.clone(), stopping.clone()),
            reader: GroupCommit::new(EventBatchReader(store.clone())),
            random: ambient.random.clone(),
            started: Instant::now(),
            draining: draining.clone(),
            drain_delay: std::time::Duration::from_millis(config.drain_delay_ms),
            stopping: stopping.clone(),
        };
        Ok(Self {
            replica: ambient.id(),
            egresses,
            burst_limiter: Arc::new(BurstLimiter::new(config.rate_limit)),
            authn,
            oidc: Arc::new(oidc),
            ledger: GroupCommit::new(Ledger::new(store.clone())),
            events: Arc::new(events),
            draws: GroupCommit::new(DrawTogether::new(store.clone(), fleet_watch.clone())),
            fleet_watch,
            last_ready: Arc::default(),
            config: Arc::new(config),
            store,
            draining,
            stopping,
        })
    }

    /// Starts the work in the background; it ends when the service stops.
    pub fn start_jobs(&self) -> JoinSet<()> {
        jobs::start(self.jobs(), &self.stopping)
    }

    /// Serves probes and `/metrics` until the service stops. Returns where.
    ///
    /// # Errors
    /// If it cannot listen.
    pub fn serve_internal(
        &self,
        listen: SocketAddr,
        registry: Registry,
    ) -> anyhow::Result<SocketAddr> {
        let names: Vec<&str> = self.jobs().iter().map(|job| job.name).collect();
        metrics::observe(&self.store, &self.draining, &names);
        let probes = health::probes(Readiness::from_ref(self), Handle::current());
        let router = probes.merge(metrics::routes(registry));
        internal_listener::serve(listen, router, self.stopping.clone())
    }

    fn jobs(&self) -> Vec<Job> {
        let (store, config) = (&self.store.for_jobs(), &self.config);
        let deliveries = delivery::Deliveries {
            store: store.clone(),
            egresses: self.egresses.clone(),
            tenants_at_once: delivery::TENANTS_AT_ONCE,
            retry: Duration::milliseconds(config.webhook_retry_ms.into()),
            stopping: self.stopping.clone(),
        };
        let lost_after = Duration::seconds(config.endpoint_lost_after_s.into());
        let upkeep = upkeep::Upkeep {
            store: store.clone(),
            audit_retention_days: config.audit_retention_days,
            session_idle: config.session_idle(),
            signing_key_days: config.signing_key_days,
        };
        vec![
            delivery::job(deliveries),
            rotation::job(store.clone(), self.stopping.clone()),
            lost_endpoints::service_job(store.clone()),
            lost_endpoints::job(store.clone(), lost_after),
            disputes::job(store.clone()),
            unwitnessed::job(store.clone()),
            upkeep::job(upkeep),
            presence::job(store.clone(), self.replica),
        ]
    }
}

/// The service: API below `/v1`, console files elsewhere.
pub fn router(app: App) -> Router {
    let (api, document) = documented_api();
    let api = api
        // Within what is carried through: whoever comes again, because their call broke off, is
        // to find its answer.
        .layer(middleware::from_fn_with_state(
            (app.store.clone(), app.authn.clone()),
            idempotency::replay,
        ))
        .layer(middleware::from_fn(crate::http::repeat::repeat))
        .layer(middleware::from_fn_with_state(
            Arc::new(Bodies::new(&pairing::LARGE_BODIES)),
            rate_limit::body,
        ))
        .layer(middleware::from_fn_with_state(
            app.store.clone(),
            authn::nonce::offer,
        ))
        .layer(middleware::from_fn_with_state(
            (app.burst_limiter.clone(), app.authn.clone()),
            rate_limit::rate,
        ))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(middleware::from_fn(protect::store_nothing))
        .route(
            "/v1/openapi.json",
            axum::routing::get(async move || axum::Json(document)),
        )
        .merge(reference::router());
    let api = match &app.config.console_dir {
        Some(dir) => api.fallback_service(console::router(dir, app.store.random())),
        None => api.fallback(async || problem::ApiError::not_found("no such resource")),
    };
    let api = match other_release::is_on() {
        true => api.layer(middleware::from_fn(other_release::answer)),
        false => api,
    };
    let is_tls = app.config.tls.scheme() == "https";
    let proxies = TrustedProxies {
        networks: app.config.trusted_proxies.clone(),
        header: app.config.client_address_header,
    };
    api.layer(middleware::from_fn(origin::tell))
        .layer(middleware::from_fn_with_state(proxies, rate_limit::client))
        .layer(middleware::from_fn(problem::stamp))
        .layer(middleware::from_fn_with_state(is_tls, protect::transport))
        .layer(middleware::from_fn(measure::count))
        .layer(
            ServiceBuilder::new()
                .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
                .layer(PropagateRequestIdLayer::x_request_id())
                .layer(CatchPanicLayer::custom(problem::panicked)),
        )
        .with_state(app)
}

/// The OpenAPI document, as committed in `openapi/openapi.json`.
///
/// # Errors
/// If it cannot be written as JSON.
pub fn openapi_document() -> Result<String, serde_json::Error> {
    Ok(documented_api().1.to_pretty_json()? + "\n")
}

/// The routes, and what the document says of them.
fn documented_api() -> (Router<App>, utoipa::openapi::OpenApi) {
    let (api, mut document) = api().split_for_parts();
    openapi::complete(&mut document, identity::authz::problems);
    (api, document)
}

fn api() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(ApiDoc::openapi())
        .merge(platform_admin::routes())
        .merge(tenancy::routes())
        .merge(identity::routes())
        .merge(pairing::routes())
        .merge(ledger::routes())
        .merge(audit::routes())
        .merge(webhooks::routes())
        .merge(events::routes())
}

/// Where the service is reached, given or not.
fn base_url(config: &Config) -> anyhow::Result<Url> {
    match &config.public_url {
        Some(url) => Ok(url.clone()),
        None => {
            let Config { tls, listen, .. } = config;
            Ok(Url::parse(&format!("{}://{listen}/", tls.scheme()))?)
        }
    }
}

/// What has to be in the database before the first call; any replica does it.
async fn prepare(store: &Store) -> anyhow::Result<()> {
    store
        .keep_audit_partitions(store.now().date_naive(), None)
        .await
        .context("make the audit log's partitions")?;
    store.agree_on_keys().await?;
    let mut tx = store.platform().await?;
    tx.signing_keys().lock().await?;
    let now = store.now();
    if tx.signing_keys().list_public(now).await?.is_empty() {
        signing::add(&mut tx, &Actor::Service, None)
            .await
            .map_err(|_| anyhow::anyhow!("make the first signing key"))?;
    }
    tx.commit().await?;
    Ok(())
}

impl FromRef<App> for Store {
    fn from_ref(app: &App) -> Self {
        app.store.clone()
    }
}

impl FromRef<App> for Egresses {
    fn from_ref(app: &App) -> Self {
        app.egresses.clone()
    }
}

impl FromRef<App> for Arc<Authn> {
    fn from_ref(app: &App) -> Self {
        app.authn.clone()
    }
}

impl FromRef<App> for Arc<Oidc> {
    fn from_ref(app: &App) -> Self {
        app.oidc.clone()
    }
}

impl FromRef<App> for Arc<GroupCommit<Ledger>> {
    fn from_ref(app: &App) -> Self {
        app.ledger.clone()
    }
}

impl FromRef<App> for Arc<EventStreams> {
    fn from_ref(app: &App) -> Self {
        app.events.clone()
    }
}

impl FromRef<App> for Arc<FleetWatch> {
    fn from_ref(app: &App) -> Self {
        app.fleet_watch.clone()
    }
}

impl FromRef<App> for Arc<GroupCommit<DrawTogether>> {
    fn from_ref(app: &App) -> Self {
        app.draws.clone()
    }
}

impl FromRef<App> for Readiness {
    fn from_ref(app: &App) -> Self {
        Self {
            store: app.store.clone(),
            draining: app.draining.clone(),
            last: app.last_ready.clone(),
        }
    }
}
