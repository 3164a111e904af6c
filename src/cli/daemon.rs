//! A daemon over HTTP: what it answers, what it tells, and what that means when it does not.

use std::error::Error;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::control::client::client;

/// It has so long to take a connection, and to answer what it answers at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why nothing more is seen of a daemon.
#[derive(Debug)]
pub enum Lost {
    /// It is not there, or no longer; it may come back.
    Gone(String),
    /// It is there, and does not let us look.
    Refused(String),
    /// Nobody reads what is seen.
    Unread,
}

/// A daemon at an address.
pub struct Daemon {
    url: Url,
    token: Option<String>,
    client: Client,
}

impl Daemon {
    pub fn at(url: Url, token: Option<String>) -> Result<Daemon, String> {
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(format!("{url} is no address of a daemon; valid is http://HOST[:PORT] or https://HOST[:PORT]"));
        }
        Ok(Daemon { url, token, client: client(|options| options.connect_timeout(PATIENCE)) })
    }

    pub fn url(&self) -> &Url {
        &self.url
    }

    fn get(&self, path: &str) -> RequestBuilder {
        let base = self.url.as_str().trim_end_matches('/');
        let request = self.client.get(format!("{base}{path}"));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// What happens from now on.
    pub async fn events(&self) -> Result<Events, Lost> {
        let response = self.get("/events").send().await.map_err(|error| self.gone(&error))?;
        let response = self.checked(response, &[]).await?;
        Ok(Events { words: self.gone_words("it has ended the connection"), response, unread: Vec::new() })
    }

    /// What it says at this path, if it answers well or with one of these.
    pub async fn ask<T: DeserializeOwned>(&self, path: &str, also: &[StatusCode]) -> Result<T, Lost> {
        let response = self.get(path).timeout(PATIENCE).send().await.map_err(|error| self.gone(&error))?;
        let body = self.checked(response, also).await?.bytes().await.map_err(|error| self.gone(&error))?;
        serde_json::from_slice(&body).map_err(|error| self.stranger(path, &error.to_string()))
    }

    fn gone(&self, error: &reqwest::Error) -> Lost {
        // The innermost cause is the one that people know.
        let mut cause: &dyn Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        Lost::Gone(self.gone_words(&cause.to_string()))
    }

    fn gone_words(&self, why: &str) -> String {
        format!(
            "no daemon answers at {}: {why}. Does it run? `systemctl status tonearm`, or start one: `tonearm serve`.",
            self.url
        )
    }

    fn stranger(&self, path: &str, why: &str) -> Lost {
        Lost::Refused(format!(
            "what answers at {} is no tonearm ({path}: {why}); give its address: `tonearm watch URL`",
            self.url
        ))
    }

    async fn checked(&self, response: Response, also: &[StatusCode]) -> Result<Response, Lost> {
        let status = response.status();
        if status.is_success() || also.contains(&status) {
            return Ok(response);
        }
        let path = response.url().path().to_owned();
        let body: Value = response.json().await.unwrap_or_default();
        Err(match (status, body["error"]["message"].as_str()) {
            (_, None) => self.stranger(&path, &format!("it answers {status}")),
            (StatusCode::UNAUTHORIZED, Some(_)) => {
                let what = if self.token.is_some() { "does not know this token" } else { "wants a token" };
                Lost::Refused(format!(
                    "the daemon at {} {what}: put it into TONEARM_TOKEN, or give its file with --token-file. It was shown at \
                     the first start (`journalctl -u tonearm`), or its digest is an application's token_sha256.",
                    self.url
                ))
            }
            (_, Some(words)) => Lost::Refused(format!("the daemon at {} says: {words}", self.url)),
        })
    }
}

/// Server-sent events, one after the other.
pub struct Events {
    response: Response,
    /// What to say when there are no more.
    words: String,
    unread: Vec<u8>,
}

impl Events {
    /// The next one's name and data. Can be dropped while it waits; nothing is lost then.
    pub async fn next(&mut self) -> Result<(String, String), Lost> {
        loop {
            if let Some(event) = take(&mut self.unread) {
                return Ok(event);
            }
            match self.response.chunk().await {
                Ok(Some(piece)) => self.unread.extend_from_slice(&piece),
                Ok(None) | Err(_) => return Err(Lost::Gone(self.words.clone())),
            }
        }
    }
}

/// Takes the first whole event that has a name.
fn take(unread: &mut Vec<u8>) -> Option<(String, String)> {
    while let Some(end) = unread.windows(2).position(|pair| pair == b"\n\n") {
        let event: Vec<u8> = unread.drain(..end + 2).collect();
        let text = String::from_utf8_lossy(&event);
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        if let (Some(name), Some(data)) = (field("event"), field("data")) {
            return Some((name.to_owned(), data.to_owned()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_whole_wherever_their_bytes_were_cut() {
        let told =
            ": tonearm\n\nevent: key\ndata: {\"line\":\"büro\"}\n\nevent: gone\ndata: {}\n\nevent: ke".as_bytes();
        for cut in 0..told.len() {
            let (mut unread, mut events) = (Vec::new(), Vec::new());
            for piece in [&told[..cut], &told[cut..]] {
                unread.extend_from_slice(piece);
                events.extend(std::iter::from_fn(|| take(&mut unread)));
            }
            let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["key", "gone"], "cut at {cut}");
            assert_eq!(events[0].1, "{\"line\":\"büro\"}");
            assert_eq!(unread, b"event: ke");
        }
    }
}
