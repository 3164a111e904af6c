//! Tests whose inner half runs in a process of its own: what that has said.

use std::process::{Output, Stdio};

/// Where an inner half tells how far it is: what goes on for minutes shows it.
pub fn progress() -> Stdio {
    if std::env::var_os("MINUTES").is_some() { Stdio::inherit() } else { Stdio::piped() }
}

/// That it has passed.
pub fn check(output: &Output) {
    let words = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && words.contains("1 passed"), "{words}");
    print!("{words}");
}
