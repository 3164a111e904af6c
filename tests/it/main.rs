//! The program as its users meet it: one binary of tests over real files, real HTTP, real sound.

#![forbid(unsafe_code)]

mod attacks;
mod barge_in;
mod browser;
mod callbacks;
mod check;
mod chunking;
mod clients;
mod cookbook;
#[path = "../../benches/corpus/mod.rs"]
mod corpus;
#[cfg(feature = "device")]
mod counted;
mod crash;
mod daemon;
mod detectors;
#[cfg(feature = "device")]
mod device;
mod disks;
mod docs;
mod echo;
mod endings;
mod examples;
mod fixtures;
mod formats;
mod gaps;
mod inner;
mod layering;
mod life;
mod live;
#[cfg(feature = "device")]
mod losses;
mod manual;
mod monitoring;
mod muted;
mod overview;
mod players;
mod prompts;
mod refusals;
mod repair;
mod restart;
mod retention;
mod schema;
#[path = "../../benches/score/mod.rs"]
mod score;
mod soak;
#[cfg(feature = "device")]
mod soak_faults;
mod sound;
#[cfg(feature = "device")]
mod starved;
mod terminal;
mod tls;
mod tokens;
mod tones;
#[cfg(feature = "opentelemetry")]
mod traces;
#[cfg(feature = "device")]
mod vm;
