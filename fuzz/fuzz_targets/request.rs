//! Bodies of requests: whatever comes is a request or a refusal, and a request keeps the limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tonearm::api::record::{Limits, play_request, request};

fuzz_target!(|body: &[u8]| {
    let limits = Limits { ceiling: 60, ..Limits::default() };
    if let Ok(request) = request(body, &limits) {
        for seconds in [request.initial_silence, request.max_silence, request.max_duration] {
            assert!((1..=60).contains(&seconds));
        }
        assert!(request.prompts.len() <= 20 && request.stop_tones.len() <= 32);
        assert!(request.client_context.is_none_or(|context| context.chars().count() <= 256));
    }
    if let Ok(request) = play_request(body) {
        assert!((1..=20).contains(&request.prompts.len()));
    }
});
