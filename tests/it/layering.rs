//! The order in which modules may use each other, and what the real-time rows may not name.
//!
//! `design/layers` in words: `units → dsp → record → pipeline → rt → wav → cards → (capture | playback | store) → control
//! → api → config, cli, main`. Each row may use only rows before it. `clock` serves from `capture` upward, `error` from `control`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Rows from the bottom; modules of one row do not know each other.
const ROWS: [&[&str]; 13] = [
    &["units"],
    &["dsp"],
    &["record"],
    &["pipeline"],
    &["rt"],
    &["wav"],
    &["cards", "clock"],
    &["capture", "playback", "store"],
    &["error"],
    &["control"],
    &["api"],
    &["config"],
    &["cli", "main"],
];
/// The highest row that decides about audio, and so must not know of anything that takes its own time.
const PURE: [&str; 4] = ["units", "dsp", "record", "pipeline"];
/// What those rows do not name.
const IMPURE: [&str; 13] = [
    "std::fs",
    "std::io",
    "std::net",
    "std::thread",
    "std::time",
    "std::sync",
    "std::env",
    "std::process",
    "tokio",
    "tracing",
    "cpal",
    "hound",
    "crossbeam_channel",
];
/// Crates that only some files may name.
const PRIVATE: [(&str, &[&str]); 6] = [
    ("cpal", &["cards.rs", "capture/device.rs", "playback/device.rs"]),
    ("hound", &["wav/", "store/"]),
    ("rusqlite", &["store/journal"]),
    ("axum", &["api/", "api.rs", "cli/serve.rs", "cli/serve/front.rs"]),
    ("flac_codec", &["api/flac.rs"]),
    ("rtrb", &["rt/", "capture/device.rs"]),
];

fn row(module: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&module))
}

/// The first folder or file under `src`: `dsp/mod.rs` and `dsp/tone.rs` are `dsp`.
fn module_of(path: &str) -> &str {
    path.split('/').next().unwrap_or(path).trim_end_matches(".rs")
}

/// The code without comments, strings and what only tests see.
fn code(source: &str) -> String {
    let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or(source);
    let mut code = String::new();
    for line in source.lines() {
        let line = line.split("//").next().unwrap_or(line);
        // Odd pieces between quotes are text; good enough for names of crates.
        for piece in line.split('"').step_by(2) {
            code.push_str(piece);
            code.push(' ');
        }
        code.push('\n');
    }
    code
}

/// The words right after each `crate::`, with those of a group in braces.
fn uses(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let group = rest.strip_prefix('{').and_then(|rest| rest.split('}').next());
        for path in group.map_or_else(|| vec![rest], |group| group.split(',').collect()) {
            let word: String = path.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            found.insert(word);
        }
    }
    found
}

/// Whether code names this path, not just a longer word that ends or begins like it.
fn names(code: &str, path: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(path).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = &code[at + path.len()..];
        let whole = !before.is_some_and(|c| is_word(c) || c == ':') && !after.chars().next().is_some_and(is_word);
        whole && (path.contains("::") || after.starts_with("::"))
    })
}

/// What is wrong with one file.
fn faults(path: &str, source: &str) -> Vec<String> {
    let (code, module) = (code(source), module_of(path));
    if module == "lib" {
        return Vec::new();
    }
    let mut faults = Vec::new();
    match row(module) {
        None => faults.push(format!("{path}: {module} stands in no row of tests/it/layering.rs")),
        Some(own) => {
            for used in uses(&code) {
                if used != module && row(&used).is_some_and(|row| row >= own) {
                    faults.push(format!("{path}: {module} must not use {used}"));
                }
            }
        }
    }
    if PURE.contains(&module) {
        // What is shared and never changes waits for nobody.
        let code = code.replace("use std::sync::Arc;", "");
        let impure = IMPURE.iter().filter(|name| names(&code, name));
        faults.extend(impure.map(|name| format!("{path}: {name} has no place in {module}")));
    }
    for (name, homes) in PRIVATE {
        if names(&code, name) && !homes.iter().any(|home| path.starts_with(home)) {
            faults.push(format!("{path}: only {homes:?} may name {name}"));
        }
    }
    faults
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every file under `src` by its path there.
fn all() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&root, &mut found);
    assert!(found.len() > 30, "{found:?}");
    let name = |path: &PathBuf| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
    found.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn every_module_uses_only_what_stands_before_it() {
    let faults: Vec<_> = all()
        .iter()
        .filter(|(path, _)| !path.ends_with("_tests.rs") && !path.ends_with("/tests.rs"))
        .flat_map(|(path, source)| faults(path, source))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_file_is_longer_than_600_lines() {
    let long: Vec<_> = all().into_iter().map(|(path, source)| (path, source.lines().count())).collect();
    let long: Vec<_> = long.iter().filter(|(_, lines)| *lines > 600).collect();
    assert!(long.is_empty(), "{long:?}");
}

#[test]
fn wrong_imports_are_found_and_right_ones_are_not() {
    let is_wrong = |path: &str, source: &str| !faults(path, source).is_empty();
    assert!(is_wrong("record/machine.rs", "use crate::pipeline::Block;"));
    assert!(is_wrong("record/machine.rs", "use crate::{units::Rate, store::Writer};"));
    assert!(is_wrong("capture/wav.rs", "let x = crate::playback::beep();"));
    assert!(is_wrong("dsp/level.rs", "use std::time::Instant;"));
    assert!(is_wrong("dsp/level.rs", "std::thread::sleep(nap);"));
    assert!(is_wrong("dsp/level.rs", "use std::sync::Mutex;"));
    assert!(is_wrong("pipeline/mod.rs", "tracing::warn!();"));
    assert!(is_wrong("control/line.rs", "use cpal::traits::HostTrait;"));
    assert!(is_wrong("api/mod.rs", "use rusqlite::Connection;"));
    assert!(is_wrong("brand_new/mod.rs", ""));
    assert!(!is_wrong("record/machine.rs", "use crate::dsp::tone::Key; // not crate::store"));
    assert!(!is_wrong("capture/device.rs", "use cpal::Stream;\nuse crate::clock;"));
    assert!(!is_wrong("dsp/level.rs", "use std::sync::Arc;"));
    assert!(!is_wrong("dsp/level.rs", "let words = \"std::fs\";"));
    assert!(!is_wrong("control/line.rs", "mod own { fn scpal() {} }"));
}
