//! How far a command is with its files: a bar on standard error if that is a terminal, else nothing.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over so many files; one file alone has none.
pub fn over(files: usize) -> ProgressBar {
    if files < 2 {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(files as u64);
    // A template that could not be read would leave indicatif's own.
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos} of {len} files, {eta} left") {
        bar.set_style(style.progress_chars("##."));
    }
    bar.tick();
    bar
}
