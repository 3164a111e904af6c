//! HTTPS, and a certificate that is replaced.

use std::path::Path;
use std::time::Duration;

use reqwest::{Certificate, Client};

use crate::daemon::{Daemon, TOKEN, configure};

/// Writes a new certificate and its key, and returns a client that trusts no other.
fn certify(cert: &Path, key: &Path) -> Client {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    std::fs::write(key, made.signing_key.serialize_pem()).unwrap();
    std::fs::write(cert, made.cert.pem()).unwrap();
    let trusted = Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().tls_certs_only([trusted]).pool_max_idle_per_host(0).build().unwrap()
}

async fn trusts(client: &Client, daemon: &Daemon) -> bool {
    let request = client.get(format!("{}/app/calls", daemon.base)).bearer_auth(TOKEN);
    request.send().await.is_ok_and(|answer| answer.status().is_success())
}

#[tokio::test]
async fn a_certificate_that_changes_is_used_and_one_that_is_broken_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let config = configure(folder.path(), &[("mic", "silence:")], "").unwrap();
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("[server]", &format!("[server]\ntls_cert = {cert:?}\ntls_key = {key:?}")))
        .unwrap();
    let first = certify(&cert, &key);
    let daemon = Daemon::with(&config).await.unwrap();
    assert!(daemon.base.starts_with("https://"), "{}", daemon.base);
    assert!(trusts(&first, &daemon).await);
    std::fs::write(&cert, "no certificate").unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(trusts(&first, &daemon).await);
    let second = certify(&cert, &key);
    for _ in 0..100 {
        if trusts(&second, &daemon).await {
            assert!(!trusts(&first, &daemon).await);
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the new certificate was not used within 10 s");
}
