//! The schema as it is served, collections in pages, and tags.

use reqwest::Method;
use reqwest::header::{ETAG, IF_NONE_MATCH};
use serde_json::Value;

use crate::daemon::{Daemon, TOKEN};

async fn daemon(folder: &std::path::Path) -> Daemon {
    let lines = [("front-desk", "silence:"), ("back", "silence:"), ("side", "silence:")];
    let daemon = Daemon::start(folder, &lines).await.unwrap();
    daemon.ready().await.unwrap();
    daemon
}

#[tokio::test]
async fn every_route_of_the_schema_is_served_and_no_other_method_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path()).await;
    let schema: Value =
        daemon.client.get(format!("{}/openapi.json", daemon.base)).send().await.unwrap().json().await.unwrap();
    assert_eq!(schema["openapi"], "3.1.0");
    for (path, methods) in schema["paths"].as_object().unwrap() {
        let real = path.replace("calls/{id}", "calls/front-desk");
        for method in [Method::GET, Method::POST, Method::DELETE, Method::PUT] {
            let told = methods.get(method.as_str().to_lowercase()).is_some();
            let answer = daemon.send(method.clone(), &real, Some("{}")).await.unwrap();
            assert_eq!(answer.status() != 405, told, "{method} {path}");
            if told && !real.contains('{') {
                assert_ne!(answer.status(), 404, "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn the_documentation_needs_nothing_from_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path()).await;
    let answer = daemon.client.get(format!("{}/docs", daemon.base)).send().await.unwrap();
    assert!(answer.headers()["content-security-policy"].to_str().unwrap().contains("connect-src 'self'"));
    let page = answer.text().await.unwrap();
    assert!(page.contains("/openapi.json"));
    assert!(!page.contains("//"), "a foreign address");
}

#[tokio::test]
async fn pages_hold_each_thing_once_in_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path()).await;
    let mut expected = vec!["front-desk".to_owned(), "back".to_owned(), "side".to_owned()];
    let mut operations = Vec::new();
    for _ in 0..4 {
        expected.push(daemon.post("/app/calls", "{}").await.unwrap()["id"].as_str().unwrap().to_owned());
        let operation = daemon.post("/app/calls/back/cancelMediaProcessing", "{}").await.unwrap();
        operations.push(operation["id"].as_str().unwrap().to_owned());
    }
    for (path, expected) in [("/app/calls", expected), ("/communications/calls/back/operations", operations)] {
        for top in [1, 2, 3, 4, 100] {
            let mut next = Some(format!("{path}?%24top={top}"));
            let mut seen = Vec::new();
            while let Some(url) = next {
                let page = daemon.get(&url).await.unwrap();
                let ids: Vec<_> = page["value"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|one| one["id"].as_str().unwrap().to_owned())
                    .collect();
                assert!(!ids.is_empty() && ids.len() <= top);
                seen.extend(ids);
                next = page["@odata.nextLink"].as_str().map(str::to_owned);
            }
            assert_eq!(seen, expected, "{path} by {top}");
        }
        for wrong in ["$top=0", "$top=1001", "$top=x", "$skiptoken=nobody", "$filter=id", "$skip=1"] {
            let answer = daemon.send(Method::GET, &format!("{path}?{wrong}"), None).await.unwrap();
            assert_eq!(answer.status(), 400, "{wrong}");
        }
    }
}

#[tokio::test]
async fn a_tag_changes_with_every_revision_and_spares_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path()).await;
    let waits = r#"{"playBeep":false,"maxRecordDurationInSeconds":60,"initialSilenceTimeoutInSeconds":60}"#;
    let answer = daemon.send(Method::POST, "/app/calls/back/record", Some(waits)).await.unwrap();
    let (first, url) = (answer.headers()[ETAG].clone(), answer.headers()["location"].to_str().unwrap().to_owned());
    assert_eq!(daemon.send(Method::DELETE, &url, None).await.unwrap().status(), 204);
    daemon.ended("back", &answer.json().await.unwrap()).await.unwrap();
    let again = |tag| daemon.client.get(&url).bearer_auth(TOKEN).header(IF_NONE_MATCH, tag).send();
    let changed = again(first.clone()).await.unwrap();
    assert_eq!(changed.status(), 200);
    let last = changed.headers()[ETAG].clone();
    assert_ne!(first, last);
    let same = again(last.clone()).await.unwrap();
    assert_eq!((same.status().as_u16(), &same.headers()[ETAG]), (304, &last));
    assert!(same.bytes().await.unwrap().is_empty());
}
