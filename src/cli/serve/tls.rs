//! TLS: the certificate, and the one that comes after it.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use axum_server::tls_rustls::RustlsConfig;

use crate::config;

/// The files are looked at so often.
const LOOK: Duration = Duration::from_secs(2);

/// The certificate that is configured, and its key; `None` without one.
pub fn files(server: &config::Server) -> Option<(PathBuf, PathBuf)> {
    Some((server.tls_cert.clone()?, server.tls_key.clone()?))
}

/// Reads them once.
pub async fn read((cert, key): &(PathBuf, PathBuf)) -> Result<RustlsConfig, String> {
    // Fails only if one is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let named = |error| format!("{} with {}: {error}", cert.display(), key.display());
    RustlsConfig::from_pem_file(cert, key).await.map_err(named)
}

/// The certificate that is configured, kept up to date; `None` without one.
pub async fn config(server: &config::Server) -> Result<Option<RustlsConfig>, String> {
    let Some(files) = files(server) else { return Ok(None) };
    let (cert, key) = files.clone();
    let mut seen = (changed(&cert), changed(&key));
    let tls = read(&files).await?;
    let current = tls.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(LOOK).await;
            let now = (changed(&cert), changed(&key));
            if now == seen {
                continue;
            }
            match current.reload_from_pem_file(&cert, &key).await {
                Ok(()) => tracing::info!("{} has changed and is used", cert.display()),
                // One of the two files may only be on its way: the next change is looked at again.
                Err(error) => {
                    tracing::warn!("{} has changed and cannot be used; the old one stays: {error}", cert.display());
                }
            }
            seen = now;
        }
    });
    Ok(Some(tls))
}

fn changed(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}
