//! Setting up logs, and on request the agent's own traces and counters over OTLP.

use std::fmt;
use std::io::{self, IsTerminal};
use std::str::FromStr;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, MetricExporter, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, fmt as logs};

use super::events::Counter;
use super::http::{self, OnRuntime};

/// Time between two exports of the agent's own counters.
const COUNTERS_EVERY: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(5);
/// What the transport of telemetry says must not become telemetry again.
const QUIET: &str =
    "hyper=warn,hyper_util=warn,opentelemetry=warn,opentelemetry_sdk=warn,opentelemetry_otlp=warn,zbus=warn";

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people; coloured on a terminal, without a time under journald, which has its own.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl FromStr for Format {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(format!("`{other}` is not a log format: text or json")),
        }
    }
}

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The level is not `error`, `warn`, `info`, `debug`, `trace` or a list of `module=level`.
    #[error("`{level}` is not a log level")]
    Level {
        /// As given.
        level: String,
        /// What is wrong.
        #[source]
        source: ParseError,
    },
    /// The endpoint is not an `http://` address.
    #[error("the OTLP endpoint `{endpoint}` for the agent's own telemetry cannot be used: {why}")]
    Endpoint {
        /// As given.
        endpoint: String,
        /// What is wrong.
        why: &'static str,
    },
    /// OTLP was asked for outside of an async runtime.
    #[error("the agent's own telemetry needs a running async runtime")]
    NoRuntime,
    /// OpenTelemetry refused.
    #[error("cannot build the exporter of the agent's own telemetry")]
    Exporter(#[source] ExporterBuildError),
    /// Something else in this process has set up logging.
    #[error("logging is set up already")]
    Twice(#[source] TryInitError),
}

/// Keeps the agent's own telemetry going; [`Guard::stop`] sends what waits.
#[derive(Default)]
#[must_use = "dropping it ends the agent's own telemetry"]
pub struct Guard {
    tracer: Option<SdkTracerProvider>,
    meter: Option<SdkMeterProvider>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("exporting", &self.tracer.is_some()).finish_non_exhaustive()
    }
}

impl Guard {
    #[cfg(test)]
    pub(super) fn tracer(&self, name: &'static str) -> Option<opentelemetry_sdk::trace::SdkTracer> {
        self.tracer.as_ref().map(|t| t.tracer(name))
    }

    /// Sends what waits and stops. Blocks for at most some seconds: not for async tasks.
    pub fn stop(self) {
        if let Some(tracer) = self.tracer {
            let _ = tracer.shutdown_with_timeout(TIMEOUT);
        }
        if let Some(meter) = self.meter {
            let _ = meter.shutdown();
        }
    }
}

/// Sets up logs to stderr at `level` (`info`, or `info,holdfast::store=debug`), and with an endpoint the agent's own
/// spans and counters over OTLP. `resource` says where they come from. Once a process.
pub fn init(
    level: &str,
    format: Format,
    otlp: Option<&str>,
    resource: &[(String, String)],
) -> Result<Guard, InitError> {
    let filter = EnvFilter::try_new(format!("{QUIET},{level}"))
        .map_err(|source| InitError::Level { level: level.to_owned(), source })?;
    let lines = match format {
        Format::Json => logs::layer().with_writer(io::stderr).json().flatten_event(true).boxed(),
        Format::Text => {
            let layer = logs::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
            if std::env::var_os("JOURNAL_STREAM").is_some() { layer.without_time().boxed() } else { layer.boxed() }
        }
    };
    let guard = match otlp {
        Some(endpoint) => exporters(endpoint, resource)?,
        None => Guard::default(),
    };
    let spans = guard.tracer.as_ref().map(|t| tracing_opentelemetry::layer().with_tracer(t.tracer("holdfast")));
    tracing_subscriber::registry().with(lines).with(spans).with(filter).try_init().map_err(InitError::Twice)?;
    Ok(guard)
}

pub(super) fn exporters(endpoint: &str, resource: &[(String, String)]) -> Result<Guard, InitError> {
    let base = http::base(endpoint).map_err(|why| InitError::Endpoint { endpoint: endpoint.to_owned(), why })?;
    let runtime = tokio::runtime::Handle::try_current().map_err(|_| InitError::NoRuntime)?;
    let client = OnRuntime { client: http::client(), runtime, timeout: TIMEOUT };
    let attributes = resource.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    let resource = Resource::builder_empty().with_attributes(attributes).build();
    let spans = SpanExporter::builder()
        .with_http()
        .with_http_client(client.clone())
        .with_endpoint(format!("{base}/v1/traces"))
        .with_timeout(TIMEOUT)
        .build()
        .map_err(InitError::Exporter)?;
    let counts = MetricExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(format!("{base}/v1/metrics"))
        .with_timeout(TIMEOUT)
        .build()
        .map_err(InitError::Exporter)?;
    let tracer = SdkTracerProvider::builder().with_batch_exporter(spans).with_resource(resource.clone()).build();
    let reader = PeriodicReader::builder(counts).with_interval(COUNTERS_EVERY).build();
    let meter = SdkMeterProvider::builder().with_reader(reader).with_resource(resource).build();
    let own = meter.meter("holdfast");
    for counter in Counter::ALL {
        let observe = |to: &dyn opentelemetry::metrics::AsyncInstrument<u64>| to.observe(counter.get(), &[]);
        let _ = own.u64_observable_counter(counter.name()).with_callback(observe).build();
    }
    Ok(Guard { tracer: Some(tracer), meter: Some(meter) })
}
