//! Recordings that their disk would not let finish: under a quota, or read-only. They end, and are served, as the `.part` files
//! that they are; as soon as the disk lets them they are finished, without a restart.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::{Control, blocking};
use crate::error::{Error, Kind};
use crate::store::recover;

/// They are tried so often.
const LOOK: Duration = Duration::from_secs(5);

impl Control {
    /// Finishes what could not be, for ever.
    pub(super) async fn finish_unnamed(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            let unnamed = std::mem::take(&mut self.state().unnamed);
            for id in unnamed {
                if !self.is_named(id).await {
                    self.state().unnamed.push(id);
                }
            }
        }
    }

    /// Whether there is nothing left to do. Why not was told when the operation ended.
    async fn is_named(&self, id: Uuid) -> bool {
        let frames = match self.state().operations.get(&id) {
            Some(entry) => entry.operation.recording.as_ref().map(|recording| recording.frames),
            None => return true,
        };
        // Its ending is being written down.
        let Some(frames) = frames else { return false };
        let path = self.path_of(id);
        let again =
            move || recover::again(&path, frames).map_err(|error| Error::new(Kind::Internal, error.to_string()));
        match blocking(again).await {
            Ok(finished) => {
                if finished {
                    tracing::info!(operation = %id, "a recording that its disk had refused is finished");
                }
                true
            }
            Err(_) => false,
        }
    }
}
