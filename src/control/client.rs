//! Clients of HTTP, with what is the same in all of them: no redirects, no proxies, TLS by ring.

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder};

/// A client with these options. On a host without certificates of authorities it trusts none: HTTP goes on, HTTPS is refused.
pub fn client(with: impl Fn(ClientBuilder) -> ClientBuilder) -> Client {
    // Fails only if one is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let options = || with(Client::builder().redirect(Policy::none()).no_proxy());
    options().build().unwrap_or_else(|error| {
        tracing::warn!(
            "no certificates of authorities, so HTTPS to other hosts fails until ca-certificates is installed: {error}"
        );
        options().tls_certs_only([]).build().expect("a client of these options can be built")
    })
}
