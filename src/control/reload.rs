//! Another configuration for a daemon that runs.
//!
//! Belongs here: what has to be idle for it, and the exchange. Does not: reading it, building its lines (`cli`).

use std::sync::{Arc, PoisonError};

use super::{Control, Settings, State};

impl Control {
    /// Takes other settings from now on. Lines that are not in them any more, or only another line of the same name, have
    /// to be idle: otherwise nothing changes, and the error names who records or listens.
    pub fn reload(&self, settings: Settings) -> Result<(), String> {
        let mut state = self.state();
        let before = self.settings();
        let kept = |line: &&Arc<super::Line>| settings.lines.iter().any(|other| Arc::ptr_eq(line, other));
        let gone: Vec<_> = before.lines.iter().filter(|line| !kept(line)).cloned().collect();
        if let Some(line) = gone.iter().find(|line| is_busy(&state, line.name())) {
            return Err(format!(
                "line {} is recording or its keys are listened to; it can change when it is idle",
                line.name()
            ));
        }
        for queue in state.calls.values_mut().filter(|queue| queue.call.standing) {
            let app = settings.applications.iter().find(|app| app.id == queue.call.app);
            queue.call.callback_uri = app.and_then(|app| app.callback_uri.clone());
        }
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
        drop(state);
        // Others may want their devices now.
        gone.iter().for_each(|line| line.close());
        Ok(())
    }
}

/// Whether anything runs, waits or listens on a line.
fn is_busy(state: &State, line: &str) -> bool {
    let listens = |task: &tokio::task::AbortHandle| !task.is_finished();
    state
        .calls
        .values()
        .filter(|queue| queue.call.line == line)
        .any(|queue| !queue.is_empty() || queue.tones.as_ref().is_some_and(listens))
}
