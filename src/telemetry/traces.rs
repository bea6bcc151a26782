//! Traces: one span per request and one per stage of it, sent to a collector by OTLP over HTTP.
//!
//! The collector's address, the sampling and the service name come from the standard `OTEL_…`
//! variables, which the exporter reads itself:
//! <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>. A caller's
//! `traceparent` is continued: <https://www.w3.org/TR/trace-context/>.

use std::collections::HashMap;
use std::time::Duration;

use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Status, TraceContextExt, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::level_filters::LevelFilter;
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

use super::targets::{OWN_TARGET, STAGE_TARGET};
use crate::config::{Exporter, Traces};

/// The service name if `OTEL_SERVICE_NAME` is not set.
const SERVICE: &str = "halkspeech";

/// Longest wait for sending the last spans at the shutdown.
const LAST_EXPORT_TIMEOUT: Duration = Duration::from_secs(2);

/// The connection to the trace collector, if one is configured.
#[derive(Debug)]
pub struct Tracing(Option<SdkTracerProvider>);

impl Tracing {
    /// Creates the exporter; the collector need not be running yet.
    ///
    /// # Errors
    /// The exporter cannot be created from the `OTEL_…` variables.
    pub fn new(settings: &Traces) -> Result<Self, ExporterBuildError> {
        if settings.exporter == Exporter::None {
            return Ok(Self(None));
        }
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
            .build()?;
        let detected = Resource::builder().build();
        let name = opentelemetry::Key::from_static_str("service.name");
        let is_named = detected
            .get(&name)
            .is_some_and(|name| !name.as_str().starts_with("unknown_service"));
        let mut resource = Resource::builder()
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        if !is_named {
            resource = resource.with_service_name(SERVICE);
        }
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.build())
            .build();
        Ok(Self(Some(provider)))
    }

    /// Sends no traces.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// The layer that exports the spans.
    pub(super) fn layer<S>(&self) -> Option<impl Layer<S> + Send + Sync + use<S>>
    where
        S: Subscriber + for<'s> LookupSpan<'s> + Send + Sync,
    {
        let tracer = self.0.as_ref()?.tracer(SERVICE);
        let layer = tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_tracked_inactivity(false)
            .with_threads(false)
            .with_target(false);
        let targets = Targets::new()
            .with_target(OWN_TARGET, LevelFilter::INFO)
            .with_target(STAGE_TARGET, LevelFilter::INFO);
        Some(layer.with_filter(targets))
    }

    /// Sends the remaining spans.
    pub fn shutdown(&self) {
        let result = self
            .0
            .as_ref()
            .map(|provider| provider.shutdown_with_timeout(LAST_EXPORT_TIMEOUT));
        if let Some(Err(error)) = result {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// The span of a stage, inside the current span.
#[must_use]
pub fn stage(name: &'static str) -> Span {
    tracing::info_span!(target: STAGE_TARGET, "stage", otel.name = name)
}

/// The span of a window in its batch, inside that of its request.
#[must_use]
pub fn inference(request: &Span, batch_size: usize) -> Span {
    tracing::info_span!(
        target: STAGE_TARGET,
        parent: request,
        "stage",
        otel.name = "inference",
        batch.size = batch_size,
    )
}

/// Makes a request's span part of the caller's trace if the request's headers name one; returns the
/// trace id.
pub fn continue_trace<'h>(
    span: &Span,
    header: impl Fn(&'static str) -> Option<&'h str>,
) -> Option<String> {
    let headers = ["traceparent", "tracestate"].into_iter();
    let headers = headers.filter_map(|name| Some((name.to_owned(), header(name)?.to_owned())));
    let headers: HashMap<String, String> = headers.collect();
    let caller = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
    let context = if span.set_parent(caller.clone()).is_ok() {
        span.record("otel.kind", "server");
        span.context()
    } else {
        caller
    };
    let span_context = context.span().span_context().clone();
    span_context
        .is_valid()
        .then(|| span_context.trace_id().to_string())
}

/// Records the response on a request's span, by the conventions for HTTP servers:
/// <https://opentelemetry.io/docs/specs/semconv/http/http-spans/>.
pub fn record_response(span: &Span, method: &str, route: &str, status: u16) {
    span.context()
        .span()
        .update_name(format!("{method} {route}"));
    span.set_attribute("http.request.method", method.to_owned());
    span.set_attribute("http.response.status_code", i64::from(status));
    if status >= 500 {
        span.set_status(Status::error(""));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callers_trace_id_is_returned_without_a_collector() {
        let trace = |traceparent: Option<&str>| {
            continue_trace(&Span::none(), |name| {
                traceparent.filter(|_| name == "traceparent")
            })
        };
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let sent = format!("00-{id}-00f067aa0ba902b7-01");
        assert_eq!(trace(Some(&sent)).as_deref(), Some(id));
        for garbage in ["", "00-0-0-01", &sent[..30], &sent.replace('4', "g")] {
            assert_eq!(trace(Some(garbage)), None, "{garbage:?}");
        }
        assert_eq!(trace(None), None);
    }
}
