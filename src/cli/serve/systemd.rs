//! What systemd gives and is told, where it started us: the socket to listen on; that we are ready, reload, stop, and that
//! every thread is alive.

use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;

use crate::control::Control;

/// The watchdog is fed so many times in its interval.
const FEEDS: u32 = 4;
/// But not more often: an idle writer comes round twice a second.
const LEAST: Duration = Duration::from_secs(1);
/// After the deadline for recordings, connections have a second, and this is for the rest.
const AFTER_DEADLINE: Duration = Duration::from_secs(5);

/// The socket of a socket unit, which stands for `[server] listen`; `None` without one.
pub fn listener() -> Result<Option<TcpListener>, String> {
    let passed = ListenFd::from_env().take_tcp_listener(0);
    passed.map_err(|error| {
        format!("the first socket that was passed (LISTEN_FDS) cannot be listened on: {error}; it has to be TCP, as in tonearm.socket")
    })
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd could not be told");
    }
}

/// We listen.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The configuration is being read again.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// Recordings are being finished, for so long at the most.
pub fn stopping(deadline: Duration) {
    let most = (deadline + AFTER_DEADLINE).as_micros() as u32;
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(most)]);
}

/// Feeds the watchdog for as long as the pipeline and the writer of every open line come round.
pub async fn feed_watchdog(control: Arc<Control>) {
    let Some(within) = sd_notify::watchdog_enabled() else { return };
    let mut tick = tokio::time::interval((within / FEEDS).max(LEAST));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut before = HashMap::new();
    loop {
        tick.tick().await;
        let lines = control.lines();
        let now: HashMap<&str, [u64; 2]> = lines.iter().filter_map(|line| Some((line.name(), line.beats()?))).collect();
        match stuck(&before, &now) {
            None => tell(&[NotifyState::Watchdog]),
            Some((line, thread)) => tracing::error!("the {thread} of line {line} does not come round: no sign of life"),
        }
        before = now.into_iter().map(|(line, beats)| (line.to_owned(), beats)).collect();
    }
}

/// The first thread that has not come round since.
fn stuck<'a>(before: &HashMap<String, [u64; 2]>, now: &HashMap<&'a str, [u64; 2]>) -> Option<(&'a str, &'static str)> {
    now.iter().find_map(|(line, beats)| {
        let then = before.get(*line)?;
        let at = (0..2).find(|&at| then[at] == beats[at])?;
        Some((*line, ["pipeline", "writer"][at]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_whose_count_stands_still_is_named_and_a_line_that_is_new_or_gone_is_not() {
        let before = HashMap::from([("a".to_owned(), [5, 7]), ("gone".to_owned(), [1, 1])]);
        assert_eq!(stuck(&before, &HashMap::from([("a", [6, 8]), ("new", [0, 0])])), None);
        assert_eq!(stuck(&before, &HashMap::from([("a", [5, 8])])), Some(("a", "pipeline")));
        assert_eq!(stuck(&before, &HashMap::from([("a", [6, 7])])), Some(("a", "writer")));
        // Opened anew, it counts from 0.
        assert_eq!(stuck(&before, &HashMap::from([("a", [0, 0])])), None);
    }
}
