//! A trace's context between processes: W3C Trace Context, `traceparent` and `tracestate`.
//! Without a collector none of this does anything.

use http::HeaderMap;
use opentelemetry::{
    global,
    trace::{SpanContext, TraceContextExt},
};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Makes a span go on with the trace that these fields tell of, if they do. Before the
/// span is entered for the first time.
pub fn adopt(span: &Span, headers: &HeaderMap) {
    let parent =
        global::get_text_map_propagator(|propagator| propagator.extract(&HeaderExtractor(headers)));
    if parent.span().span_context().is_valid() {
        // It fails where nothing is traced; nothing is lost by that.
        let _ = span.set_parent(parent);
    }
}

/// Has these fields tell of a span, so that whoever reads them goes on with its trace.
pub fn inject(span: &Span, headers: &mut HeaderMap) {
    let context = span.context();
    if context.span().span_context().is_valid() {
        global::get_text_map_propagator(|propagator| {
            propagator.inject_context(&context, &mut HeaderInjector(headers));
        });
    }
}

/// Which span is current, to be kept for later; `None` if none is recorded.
pub fn current() -> Option<SpanContext> {
    of(&Span::current())
}

/// What of a span is kept for later; `None` if it is not recorded.
pub fn of(span: &Span) -> Option<SpanContext> {
    let context = span.context();
    let span = context.span().span_context().clone();
    (span.is_valid() && span.is_sampled()).then_some(span)
}

/// Makes a span that serves several earlier ones, such as a call that reports them all: a
/// child of the first, with links to the others.
pub fn serve_all(span: &Span, earlier: impl IntoIterator<Item = SpanContext>) {
    let mut earlier = earlier.into_iter();
    if let Some(first) = earlier.next() {
        let parent = opentelemetry::Context::new().with_remote_span_context(first);
        let _ = span.set_parent(parent);
    }
    for other in earlier.take(MAX_LINKS) {
        span.add_link(other);
    }
}

const MAX_LINKS: usize = 64;
