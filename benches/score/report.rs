//! The tables of what is asked, filled.

use super::{Count, Table};
use crate::corpus::talkoff;

type Cell = (&'static str, fn(&Table) -> String);

fn percent(count: Count) -> String {
    if count.of == 0 { "-".to_owned() } else { format!("{:.2}", count.percent()) }
}

fn reported(table: &Table, class: &'static str) -> Count {
    table.sum(|row| row.report, |name| name.starts_with(class))
}

fn extra(table: &Table, which: impl Fn(&str) -> bool) -> usize {
    table.sum(|row| row.extra(), which)
}

/// "doubles" are only told where the audio holds nothing else to report.
fn false_hits(table: &Table, near: bool) -> String {
    let which = |name: &str| name.starts_with("no key") && talkoff::near_miss(name) == near;
    format!("{} in {:.2} h", extra(table, which), table.sum(|row| row.seconds, which) / 3_600.0)
}

/// The worst class of those that must be reported.
fn worst(table: &Table) -> String {
    let rows = table.rows.iter().filter(|row| row.report.of > 0);
    let least = rows.min_by(|a, b| a.report.percent().total_cmp(&b.report.percent()));
    least.map_or_else(String::new, |row| format!("{:.1}", row.report.percent()))
}

const ROOMS: &str = "rooms, rt60 0.2, 0.4 s";
const DOUBLES: &str = "interruption of 2-20 ms";

const CELLS: [Cell; 13] = [
    ("all that must be reported, %", |t| percent(t.sum(|row| row.report, |_| true))),
    ("... the worst class, %", worst),
    ("±(1.5 % + 2 Hz), both tones, %", |t| percent(reported(t, "frequency ±"))),
    ("twist −8 … +4 dB, %", |t| percent(reported(t, "twist"))),
    ("hum, %", |t| percent(reported(t, "hum"))),
    ("rooms, rt60 0.2, 0.4 s, %", |t| percent(reported(t, ROOMS))),
    ("... reports too many", |t| extra(t, |name| name == ROOMS).to_string()),
    ("... beyond the limits there, %", |t| percent(t.sum(|row| row.free, |name| name == ROOMS))),
    ("must be refused, accepted, %", |t| percent(t.sum(|row| row.refuse, |_| true))),
    ("... 23 ms and less, %", |t| percent(t.sum(|row| row.refuse, |name| name.starts_with("duration")))),
    ("interruptions 2-20 ms, doubles", |t| {
        format!("{} of {}", extra(t, |name| name == DOUBLES), reported(t, DOUBLES).of)
    }),
    ("false: voices, music, noise", |t| false_hits(t, false)),
    ("false: chords, glides, song, tones", |t| false_hits(t, true)),
];

/// What must be reached, by the order of the cells.
const ASKED: [&str; CELLS.len()] = [
    "≥ 99.7",
    "≥ 99",
    "100",
    "100",
    "100",
    "≥ 99.5",
    "0-2 of 336",
    "",
    "≤ 0.3",
    "0",
    "≤ 2 of 800",
    "0",
    "≤ 3 in 1.33 h",
];

/// The table of keys: a line a criterion, a column a detector.
pub fn keys(tables: &[(String, Table)]) -> Vec<Vec<String>> {
    let mut lines = vec![vec![String::new(), "asked".to_owned()]];
    lines[0].extend(tables.iter().map(|(name, _)| name.clone()));
    for ((label, cell), asked) in CELLS.iter().zip(ASKED) {
        let mut line = vec![(*label).to_owned(), asked.to_owned()];
        line.extend(tables.iter().map(|(_, table)| cell(table)));
        lines.push(line);
    }
    lines
}

/// Prints lines of equal length as columns.
pub fn print(lines: &[Vec<String>]) {
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
    for line in lines {
        let mut text = String::new();
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            text += &if column == 0 { format!("  {cell:<width$}") } else { format!("  {cell:>width$}") };
        }
        println!("{}", text.trim_end());
    }
}
