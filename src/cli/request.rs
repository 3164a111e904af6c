//! Requests from files, read as posted ones are.

use crate::api::record::{self, Limits};
use crate::control::operation::RecordRequest;

/// Reads a request with Graph's defaults.
pub fn parse(bytes: &[u8]) -> Result<RecordRequest, String> {
    // What is written here is a WAV.
    let limits = Limits { flac: false, ..Limits::default() };
    let request = record::request(bytes, &limits).map_err(|error| error.message)?;
    match request.prompts.is_empty() {
        true => Ok(request),
        false => Err("prompts are played by the daemon only; leave them out".to_owned()),
    }
}
