//! Traces at a collector, in a build with the feature `opentelemetry`.

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;

use crate::callbacks::{record, staged};
use crate::daemon::Daemon;

/// What a collector was sent: protobuf, in which words are as they are.
async fn collector() -> (Arc<Mutex<Vec<u8>>>, String) {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let keeping = sent.clone();
    let take = async move |body: Bytes| keeping.lock().unwrap().extend_from_slice(&body);
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/v1/traces", post(take))).await });
    (sent, base)
}

#[tokio::test]
async fn an_operation_is_a_trace_of_what_it_did_and_the_last_one_is_sent_as_the_daemon_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (sent, base) = collector().await;
    let config = staged(folder.path(), "http://127.0.0.1:9/", "");
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", base.as_str())];
    let daemon = Daemon::launch_in(&config, Stdio::inherit(), &environment).await.unwrap();
    let operation = record(&daemon).await;
    daemon.ended("mic", &operation).await.unwrap();
    let id = operation["id"].as_str().unwrap().to_owned();
    daemon.finished().await;
    let sent = sent.lock().unwrap();
    for word in ["tonearm", "operation", &id, "recording", "ending", "an operation has ended: MaxSilenceTimeout"] {
        assert!(sent.windows(word.len()).any(|window| window == word.as_bytes()), "{word} was not sent");
    }
}

#[tokio::test]
async fn a_collector_that_is_not_there_holds_nothing_up() {
    let folder = tempfile::tempdir().unwrap();
    let config = staged(folder.path(), "http://127.0.0.1:9/", "");
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")];
    let daemon = Daemon::launch_in(&config, Stdio::inherit(), &environment).await.unwrap();
    let operation = record(&daemon).await;
    daemon.ended("mic", &operation).await.unwrap();
    daemon.finished().await;
}
