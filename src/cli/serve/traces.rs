//! Traces by OpenTelemetry, in a build with the feature `opentelemetry`.
//!
//! An operation is a trace: its spans are what it waits for and does, its events what is logged. They go by OTLP over HTTP
//! to where the standard's variables say (`OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`); without
//! them nothing is sent. Spans that find no room while a collector is slow are dropped: nothing waits for it.

use std::io;
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tokio::runtime::{self, Runtime};
use tracing::Subscriber;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::registry::LookupSpan;

use crate::control::client::client;

/// What the standard has for `OTEL_EXPORTER_OTLP_TIMEOUT` where it says nothing.
const SENT_WITHIN: Duration = Duration::from_secs(10);
/// A collector that does not answer holds up the end of the daemon for so long.
const FLUSHED_WITHIN: Duration = Duration::from_secs(2);

/// Sends what is left when it is dropped.
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Traces, if the environment says where to; or why they cannot be sent.
    pub fn from_environment() -> Result<Option<Traces>, String> {
        let named = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        if !named("OTEL_EXPORTER_OTLP_ENDPOINT") && !named("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
            return Ok(None);
        }
        let client = Client::new().map_err(|error| error.to_string())?;
        let exporter =
            SpanExporter::builder().with_http().with_http_client(client).build().map_err(|error| error.to_string())?;
        let resource = if named("OTEL_SERVICE_NAME") {
            Resource::builder().build()
        } else {
            Resource::builder().with_service_name("tonearm").build()
        };
        Ok(Some(Traces(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())))
    }

    /// What hears the spans.
    pub fn layer<S: Subscriber + for<'span> LookupSpan<'span>>(&self) -> OpenTelemetryLayer<S, SdkTracer> {
        tracing_opentelemetry::layer().with_tracer(self.0.tracer("tonearm"))
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown_with_timeout(FLUSHED_WITHIN) {
            tracing::warn!("the last traces could not be sent: {error}");
        }
    }
}

/// The exporter has a thread of its own, on which it waits for answers.
#[derive(Debug)]
struct Client {
    runtime: Runtime,
    http: reqwest::Client,
}

impl Client {
    fn new() -> io::Result<Client> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Client { runtime, http: client(|options| options.timeout(SENT_WITHIN)) })
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        self.runtime.block_on(async {
            let answer = self.http.execute(request.try_into()?).await?;
            let mut response = Response::builder().status(answer.status());
            if let Some(headers) = response.headers_mut() {
                headers.clone_from(answer.headers());
            }
            Ok::<_, HttpError>(response.body(answer.bytes().await?)?)
        })
    }
}
