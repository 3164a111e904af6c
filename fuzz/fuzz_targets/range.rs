//! Range headers of recordings of any length.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tonearm::api::range::{resolve, wanted};

fuzz_target!(|input: (u64, &str)| {
    let (length, header) = input;
    if let Some((start, end)) = wanted(Some(header)).and_then(|wanted| resolve(wanted, length)) {
        assert!(start < end && end <= length);
    }
});
