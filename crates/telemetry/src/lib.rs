//! Logs, traces and metrics of Armour's programs.
//!
//! * logs go to standard error, as text or as one JSON object a line;
//! * where an OpenTelemetry collector is named, traces, metrics and logs go there over
//!   OTLP/HTTP;
//! * [`scrape`] is what Prometheus reads, whether there is a collector or not;
//! * [`trace`] carries the trace's context from one process to the next.
//!
//! What must stay secret has no `Debug` and no `Display`, so it cannot be a field of any
//! log line or span: `crates/protocol` holds that at compile time.

#![forbid(unsafe_code)]

pub mod scrape;
pub mod trace;

use std::{io::IsTerminal, sync::OnceLock};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use opentelemetry::{KeyValue, global, trace::TracerProvider};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::{LogExporter, MetricExporter, Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    logs::SdkLoggerProvider,
    metrics::SdkMeterProvider,
    propagation::TraceContextPropagator,
    trace::{Sampler, SdkTracerProvider},
};
use prometheus::Registry;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    EnvFilter, Layer, filter::Targets, fmt, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

/// What is told of a running program, and where.
#[derive(Debug, Clone, Args)]
pub struct TelemetryOptions {
    /// What is logged: a level (error, warn, info, debug, trace), or one for each part, for
    /// example info,armour_endpoint=debug.
    #[arg(long, global = true, env = "ARMOUR_LOG", default_value = "info")]
    pub log: String,
    /// How it is written.
    #[arg(long, global = true, env = "ARMOUR_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// An OpenTelemetry collector that takes OTLP over HTTP, for example
    /// http://127.0.0.1:4318; nothing is sent if absent. The standard variables
    /// OTEL_EXPORTER_OTLP_HEADERS, OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES count too.
    #[arg(long, global = true, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
    /// The share of traces begun here that is recorded, 0 to 1; one that a caller began is
    /// recorded if the caller's is.
    #[arg(
        long,
        global = true,
        env = "OTEL_TRACES_SAMPLER_ARG",
        default_value_t = 1.0
    )]
    pub trace_ratio: f64,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// What has been started; [`Telemetry::end`] sends what is still held.
pub struct Telemetry {
    /// What is counted, for [`scrape`].
    pub registry: Registry,
    meters: SdkMeterProvider,
    tracers: Option<SdkTracerProvider>,
    loggers: Option<SdkLoggerProvider>,
}

type Filter = reload::Handle<EnvFilter, tracing_subscriber::Registry>;
static FILTER: OnceLock<Filter> = OnceLock::new();

/// Starts logging and counting, and sending if there is a collector.
///
/// # Errors
/// If an option is wrong, or it was started before.
pub fn start(service: &'static str, options: &TelemetryOptions) -> anyhow::Result<Telemetry> {
    let filter = EnvFilter::try_new(&options.log).context("--log")?;
    let (filter, handle) = reload::Layer::new(filter);
    let text = fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let lines: Box<dyn Layer<_> + Send + Sync> = match options.log_format {
        LogFormat::Text => text.with_filter(filter).boxed(),
        LogFormat::Json => text.json().flatten_event(true).with_filter(filter).boxed(),
    };
    let resource = Resource::builder()
        .with_attribute(KeyValue::new("service.name", named(service)))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let registry = Registry::new();
    let scraped = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .without_target_info()
        .build()
        .context("metrics")?;
    let mut meters = SdkMeterProvider::builder()
        .with_reader(scraped)
        .with_resource(resource.clone());
    let (mut tracers, mut loggers) = (None, None);
    if let Some(endpoint) = &options.otlp_endpoint {
        let at = |signal| format!("{}/v1/{signal}", endpoint.trim_end_matches('/'));
        let metrics = MetricExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(at("metrics"))
            .build()
            .context("--otlp-endpoint")?;
        meters = meters.with_periodic_exporter(metrics);
        let spans = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(at("traces"))
            .build()
            .context("--otlp-endpoint")?;
        let sampler = Sampler::TraceIdRatioBased(options.trace_ratio);
        tracers = Some(
            SdkTracerProvider::builder()
                .with_batch_exporter(spans)
                .with_sampler(Sampler::ParentBased(Box::new(sampler)))
                .with_resource(resource.clone())
                .build(),
        );
        let logs = LogExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(at("logs"))
            .build()
            .context("--otlp-endpoint")?;
        loggers = Some(
            SdkLoggerProvider::builder()
                .with_batch_exporter(logs)
                .with_resource(resource)
                .build(),
        );
        global::set_text_map_propagator(TraceContextPropagator::new());
    }
    let meters = meters.build();
    global::set_meter_provider(meters.clone());
    // Only what these programs say of themselves: the exporters' own lines would be sent,
    // and bring forth more of them.
    let own = Targets::new().with_target("armour", LevelFilter::INFO);
    tracing_subscriber::registry()
        .with(lines)
        .with(tracers.as_ref().map(|tracers| {
            tracing_opentelemetry::layer()
                .with_tracer(tracers.tracer("armour"))
                .with_location(false)
                .with_threads(false)
                .with_target(false)
                .with_filter(own.clone())
        }))
        .with(
            loggers
                .as_ref()
                .map(|loggers| OpenTelemetryTracingBridge::new(loggers).with_filter(own)),
        )
        .try_init()
        .context("logging was started before")?;
    let _ = FILTER.set(handle);
    Ok(Telemetry {
        registry,
        meters,
        tracers,
        loggers,
    })
}

/// Changes what is logged, as [`TelemetryOptions::log`] says it.
///
/// # Errors
/// If it says nothing valid, or nothing is logged at all.
pub fn set_log(directives: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(directives).context("log")?;
    let handle = FILTER.get().context("nothing is logged")?;
    handle.reload(filter).context("log")
}

impl Telemetry {
    /// Sends what is still held. Blocks while it does: not for a thread that runs tasks.
    pub fn end(self) {
        let tracers = self.tracers.map(|tracers| tracers.shutdown());
        let loggers = self.loggers.map(|loggers| loggers.shutdown());
        let ended = [tracers, loggers, Some(self.meters.shutdown())];
        for error in ended.into_iter().flatten().filter_map(Result::err) {
            tracing::warn!(%error, "telemetry was not sent to its end");
        }
    }
}

/// The service's name: the standard variable's, if it is set.
fn named(service: &'static str) -> String {
    std::env::var("OTEL_SERVICE_NAME").unwrap_or_else(|_| service.to_owned())
}
