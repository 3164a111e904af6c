//! Whom the daemon may talk to of its own accord: where notifications go, and where prompts come from.
//!
//! Belongs here: which URLs and which addresses are allowed. Does not: the talking (`notify`, `prompts`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;

/// The hosts that configuration allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts(Vec<Allowed>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Allowed {
    /// `http` only where it was written.
    plain: bool,
    host: String,
    port: Option<u16>,
}

impl Hosts {
    /// Reads `host`, `host:port`, or one of them behind `http://` to allow it without TLS.
    pub fn parse<S: AsRef<str>>(entries: &[S]) -> Result<Hosts, String> {
        entries.iter().map(|entry| Allowed::parse(entry.as_ref())).collect::<Result<_, _>>().map(Hosts)
    }

    /// Why this is no place for notifications, if so. Loopback is one without being named.
    pub fn check_callback(&self, uri: &str) -> Result<(), String> {
        let (url, host) = web(uri)?;
        if is_loopback(&host) { Ok(()) } else { self.find(&url, &host, "[notifications]") }
    }

    /// Why a prompt may not come from there, if so. Loopback counts as any other host: what listens there trusts us more
    /// than those who send us requests.
    pub fn check_prompt(&self, uri: &str) -> Result<Url, String> {
        let (url, host) = web(uri)?;
        self.find(&url, &host, "[prompts]").map(|()| url)
    }

    fn find(&self, url: &Url, host: &str, section: &str) -> Result<(), String> {
        let port = url.port_or_known_default();
        let found =
            self.0.iter().find(|allowed| allowed.host == host && (allowed.port.is_none() || allowed.port == port));
        match found {
            None => Err(format!("{host} is not in {section} allow_hosts")),
            Some(allowed) if url.scheme() == "http" && !allowed.plain => Err(format!("{host} needs https")),
            Some(_) => Ok(()),
        }
    }
}

/// Whether a host may be at this address. Names are allowed, addresses are what they come to: a name that suddenly leads
/// to this machine or to its link (where clouds keep their secrets) does so by no operator's wish. `localhost` is.
pub fn may_be_at(host: &str, address: IpAddr) -> bool {
    let address = address.to_canonical();
    let own = address.is_loopback() && host != "localhost";
    let link = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(own || link || address.is_unspecified() || address.is_multicast())
}

impl Allowed {
    fn parse(entry: &str) -> Result<Allowed, String> {
        let (plain, rest) = entry.strip_prefix("http://").map_or((false, entry), |rest| (true, rest));
        // "https" would hide the port 443 that was written.
        let url = Url::parse(&format!("http://{rest}")).ok().filter(|url| url.path() == "/" && url.query().is_none());
        let host = url.as_ref().and_then(|url| url.host_str()).map(str::to_owned);
        let host = host.ok_or_else(|| format!("{entry:?} is no host; valid are \"host\" and \"host:port\""))?;
        let port = rest.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        Ok(Allowed { plain, host, port })
    }
}

/// A URL of the web, without credentials, and its host as WHATWG normalises it.
fn web(uri: &str) -> Result<(Url, String), String> {
    let url = Url::parse(uri).map_err(|error| format!("{uri:?} is no absolute URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!(
            "{:?} is no scheme that is valid here; https is, and http where it is allowed",
            url.scheme()
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the URL must not hold credentials".to_owned());
    }
    let host = url.host_str().ok_or("the URL needs a host")?.to_owned();
    Ok((url, host))
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || bare.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
        || bare.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notifications_go_to_loopback_and_to_the_hosts_that_are_allowed() {
        let hosts = Hosts::parse(&["Hooks.example", "http://intern.example:8080", "[fd00::1]:443"]).unwrap();
        for uri in [
            "http://127.0.0.1:9/x",
            "http://2130706433/",
            "http://localhost/",
            "https://[::1]/",
            "https://hooks.example/a?b",
            "http://intern.example:8080/",
            "https://[fd00::1]/",
        ] {
            assert_eq!(hosts.check_callback(uri), Ok(()), "{uri}");
        }
        for uri in [
            "http://hooks.example/",
            "https://intern.example/",
            "https://evil.example/",
            "http://10.0.0.1/",
            "http://169.254.169.254/latest",
            "http://[::ffff:127.0.0.1]/",
            "https://hooks.example.evil.example/",
            "https://user:word@hooks.example/",
            "ftp://127.0.0.1/",
            "file:///etc/passwd",
            "/relative",
            "",
        ] {
            assert!(hosts.check_callback(uri).is_err(), "{uri}");
        }
        assert!(Hosts::parse(&["a/b"]).is_err());
        assert!(Hosts::parse(&[""]).is_err());
    }

    #[test]
    fn prompts_come_from_hosts_that_are_allowed_and_not_even_from_loopback_otherwise() {
        let hosts = Hosts::parse(&["cdn.example", "http://127.0.0.1:8080"]).unwrap();
        for uri in ["https://CDN.example/a.wav", "http://2130706433:8080/a.wav"] {
            assert!(hosts.check_prompt(uri).is_ok(), "{uri}");
        }
        for uri in [
            "http://cdn.example/a.wav",
            "https://user@cdn.example/a.wav",
            "http://127.0.0.1/a.wav",
            "http://localhost:8080/a.wav",
            "http://[::1]/",
            "http://[::ffff:7f00:1]:8080/",
            "https://169.254.169.254/latest",
            "ftp://cdn.example/a.wav",
        ] {
            assert!(hosts.check_prompt(uri).is_err(), "{uri}");
        }
    }

    #[test]
    fn a_name_that_leads_to_this_machine_or_its_link_is_not_followed() {
        let at = |host: &str, address: &str| may_be_at(host, address.parse().unwrap());
        assert!(at("cdn.example", "93.184.215.14") && at("intern.example", "10.0.0.7") && at("x.example", "fd00::7"));
        assert!(at("localhost", "127.0.0.1") && at("localhost", "::1"));
        for address in [
            "127.0.0.1",
            "127.8.8.8",
            "::1",
            "::ffff:127.0.0.1",
            "169.254.169.254",
            "fe80::1",
            "0.0.0.0",
            "::",
            "224.0.0.1",
        ] {
            assert!(!at("cdn.example", address), "{address}");
        }
    }
}
