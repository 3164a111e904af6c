//! The network: the port, and the hosts that are allowed by name.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

use reqwest::{StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;

use super::super::daemon::{Daemon, Lost};
use super::super::runtime;
use super::Finding;
use crate::config::Config;

/// What a daemon that runs says of its lines.
#[derive(Debug, Deserialize)]
pub struct LineReady {
    pub line: String,
    pub reason: Option<String>,
}

#[derive(Deserialize)]
struct Ready {
    lines: Vec<LineReady>,
}

/// Whether the port is free, or a daemon is there already; then what that one says of its lines.
pub fn port(config: &Config) -> (Finding, Option<Vec<LineReady>>) {
    let (what, listen) = ("port", config.server.listen);
    let error = match TcpListener::bind(listen) {
        Ok(_) => return (Finding::well(what, format!("{listen} is free; no daemon runs")), None),
        Err(error) => error,
    };
    let found = format!("{listen}: {error}");
    let next = match error.kind() {
        ErrorKind::AddrInUse => match ask(&url(listen, config.server.tls_cert.is_some())) {
            Ok(ready) => return (Finding::well(what, format!("a daemon answers at {listen}")), Some(ready.lines)),
            Err(_) => format!("see who has it: `sudo ss -ltnp 'sport = :{}'`; or set [server] listen", listen.port()),
        },
        ErrorKind::PermissionDenied => {
            "set [server] listen to a port of 1024 or more, or give the unit AmbientCapabilities=CAP_NET_BIND_SERVICE"
                .to_owned()
        }
        _ => "set [server] listen to an address of this host: `ip address`".to_owned(),
    };
    (Finding::to_do(what, found, next), None)
}

/// Where a daemon that listens there is reached from this host.
fn url(listen: SocketAddr, tls: bool) -> String {
    let scheme = if tls { "https" } else { "http" };
    match listen.ip().is_unspecified() {
        true => format!("{scheme}://localhost:{}", listen.port()),
        false => format!("{scheme}://{listen}"),
    }
}

fn ask(url: &str) -> Result<Ready, String> {
    let url = url.parse().map_err(|error| format!("{error}"))?;
    let daemon = Daemon::at(url, None)?;
    let asked = async {
        let _: Value = daemon.ask("/healthz", &[]).await?;
        daemon.ask("/readyz", &[StatusCode::SERVICE_UNAVAILABLE]).await
    };
    runtime()?.block_on(asked).map_err(|lost| match lost {
        Lost::Gone(why) | Lost::Refused(why) => why,
        Lost::Unread => String::new(),
    })
}

/// Whether the names that may be asked or told are known here.
pub fn hosts(config: &Config) -> Vec<Finding> {
    let allowed = [("callbacks", &config.notifications.allow_hosts), ("prompts' hosts", &config.prompts.allow_hosts)];
    let of = |(what, hosts): (&str, &Vec<String>)| match hosts.iter().find_map(|host| Some((host, unknown(host)?))) {
        Some((host, why)) => Finding::to_do(
            what,
            format!("{host}: {why}"),
            format!("look at the name and at DNS: `getent hosts {}`", host.split(':').next().unwrap_or(host)),
        ),
        None if hosts.is_empty() && what == "callbacks" => {
            Finding::well(what, "to this host only; [notifications] allow_hosts names others")
        }
        None if hosts.is_empty() => Finding::well(what, "none; [prompts] allow_hosts names some"),
        None => Finding::well(what, hosts.join(", ")),
    };
    allowed.into_iter().map(of).collect()
}

/// Why a host that is written as `host` or `host:port` is not known here.
fn unknown(host: &str) -> Option<String> {
    let text = if host.contains("://") { host.to_owned() } else { format!("https://{host}") };
    let url = Url::parse(&text).ok()?;
    let place = (url.host_str()?.trim_matches(['[', ']']).to_owned(), url.port_or_known_default()?);
    place.to_socket_addrs().err().map(|error| error.to_string())
}
