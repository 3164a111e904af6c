//! How detectors are scored: their reports against the presses of a case.

#![allow(dead_code, reason = "each user of this folder takes a part")]

pub mod data;
pub mod latency;
pub mod ours;
pub mod page;
pub mod report;
pub mod silence;
pub mod speed;

use crate::corpus::{Case, Rule};
use std::collections::BTreeMap;

/// A key as a detector reported it; times in seconds, NaN if it does not tell them.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    pub key: char,
    pub onset: f64,
    /// The audio that it had been fed.
    pub decided: f64,
    pub end: f64,
}

/// Presses that shared a condition: how many, and how many were reported.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Count {
    pub of: usize,
    pub hit: usize,
}

impl Count {
    fn add(&mut self, hit: bool) {
        self.of += 1;
        self.hit += usize::from(hit);
    }

    pub fn percent(self) -> f64 {
        100.0 * self.hit as f64 / self.of as f64
    }
}

impl std::iter::Sum for Count {
    fn sum<I: Iterator<Item = Count>>(counts: I) -> Count {
        counts.fold(Count::default(), |a, b| Count { of: a.of + b.of, hit: a.hit + b.hit })
    }
}

/// A press that was missed or should have been, at its condition; or a report too many and when it came.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Wrong {
    Missed(char, f64),
    Accepted(char, f64),
    Extra(char, f64),
}

/// One class's score.
#[derive(Default)]
pub struct Row {
    pub class: &'static str,
    pub axis: &'static str,
    /// That must be reported, must be refused, and are free.
    pub report: Count,
    pub refuse: Count,
    pub free: Count,
    pub seconds: f64,
    /// Each press's condition, and whether it was reported.
    pub points: Vec<(f64, bool)>,
    /// What it did wrong.
    pub wrong: Vec<Wrong>,
    /// The worst errors of onset (early, late) and end.
    pub early: f64,
    pub late: f64,
    pub end: f64,
}

impl Row {
    /// Reports that belong to no press: doubles, other keys, none at all.
    pub fn extra(&self) -> usize {
        self.wrong.iter().filter(|wrong| matches!(wrong, Wrong::Extra(..))).count()
    }
}

/// A detector's score, class by class in order.
#[derive(Default)]
pub struct Table {
    pub rows: Vec<Row>,
}

/// A report counts for a press until this long after its end.
const AFTER_S: f64 = 0.06;

/// For each press the report that counts for it.
fn pair(case: &Case, heard: &[Heard]) -> Vec<Option<usize>> {
    if heard.iter().any(|heard| heard.decided.is_nan()) {
        return align(case, heard);
    }
    let mut used = vec![false; heard.len()];
    let mut first = 0;
    let find = |press: &crate::corpus::Press| {
        while first < heard.len() && heard[first].decided <= press.onset {
            first += 1;
        }
        let fits = |n: &usize| {
            // What must be refused must be so under any name.
            !used[*n] && (heard[*n].key == press.char() || press.rule == Rule::Refuse)
        };
        let found = (first..heard.len()).take_while(|&n| heard[n].decided < press.end() + AFTER_S).find(fits)?;
        used[found] = true;
        Some(found)
    };
    case.presses.iter().map(find).collect()
}

/// Without times, the longest common subsequence of keys.
fn align(case: &Case, heard: &[Heard]) -> Vec<Option<usize>> {
    let (presses, width) = (&case.presses, heard.len() + 1);
    let mut longest = vec![0u32; (presses.len() + 1) * width];
    let same = |i: usize, j: usize| presses[i].char() == heard[j].key;
    for i in (0..presses.len()).rev() {
        for j in (0..heard.len()).rev() {
            let (skip, other) = (longest[(i + 1) * width + j], longest[i * width + j + 1]);
            let taken = longest[(i + 1) * width + j + 1] + 1;
            longest[i * width + j] = if same(i, j) { taken } else { skip.max(other) };
        }
    }
    let mut j = 0;
    let mut find = |i: usize| {
        while j < heard.len() && !same(i, j) && longest[i * width + j + 1] >= longest[(i + 1) * width + j] {
            j += 1;
        }
        let found = (j < heard.len() && same(i, j)).then_some(j);
        j += usize::from(found.is_some());
        found
    };
    (0..presses.len()).map(&mut find).collect()
}

/// The key and how long after its onset it was reported, in seconds.
pub fn delays(case: &Case, heard: &[Heard]) -> Vec<(usize, f64)> {
    let pairs = case.presses.iter().zip(pair(case, heard));
    pairs.filter_map(|(press, found)| Some((press.key, heard[found?].decided - press.onset))).collect()
}

impl Table {
    pub fn score(&mut self, case: &Case, heard: &[Heard]) {
        let at = self.rows.iter().position(|row| row.class == case.class).unwrap_or(self.rows.len());
        if at == self.rows.len() {
            self.rows.push(Row { class: case.class, axis: case.axis, ..Row::default() });
        }
        let row = &mut self.rows[at];
        row.seconds += case.seconds();
        let pairs = pair(case, heard);
        let extra = (0..heard.len()).filter(|n| !pairs.contains(&Some(*n)));
        row.wrong.extend(extra.map(|n| Wrong::Extra(heard[n].key, heard[n].decided)));
        for (press, found) in case.presses.iter().zip(pairs) {
            let hit = found.is_some();
            match press.rule {
                Rule::Report => row.report.add(hit),
                Rule::Refuse => row.refuse.add(hit),
                Rule::Free => row.free.add(hit),
            }
            row.points.push((press.at, hit));
            match (press.rule, hit) {
                (Rule::Report, false) => row.wrong.push(Wrong::Missed(press.char(), press.at)),
                (Rule::Refuse, true) => row.wrong.push(Wrong::Accepted(press.char(), press.at)),
                _ => {}
            }
            if let (Some(n), Rule::Report) = (found, press.rule) {
                row.late = row.late.max(heard[n].onset - press.onset);
                row.early = row.early.max(press.onset - heard[n].onset);
                row.end = row.end.max((heard[n].end - press.end()).abs());
            }
        }
    }

    pub fn sum<T: std::iter::Sum>(&self, of: impl Fn(&Row) -> T, which: impl Fn(&str) -> bool) -> T {
        self.rows.iter().filter(|row| which(row.class)).map(of).sum()
    }

    /// A line for each class in which something was wrong. Where nothing is asked, nothing is.
    pub fn wrong(&self) -> Vec<String> {
        let asked = |row: &&Row| row.report.of + row.refuse.of > 0 || row.class.starts_with("no key");
        let rows = self.rows.iter().filter(asked).filter(|row| !row.wrong.is_empty());
        rows.map(|row| format!("{}: {:.1?}", row.class, row.wrong)).collect()
    }

    pub fn print(&self) {
        println!(
            "  {:<33} {:>15} {:>12} {:>12} {:>6} {:>9}  onset early, late; end off ms",
            "class", "must", "refused", "free", "extra", "seconds"
        );
        for row in &self.rows {
            let share = |count: Count, digits: usize| match count.of {
                0 => String::new(),
                of => format!("{:.digits$} % of {of}", count.percent()),
            };
            println!(
                "  {:<33} {:>15} {:>12} {:>12} {:>6} {:>9.0}  {:.1} {:.1} {:.1}",
                row.class,
                share(row.report, 2),
                share(row.refuse, 1),
                share(row.free, 0),
                row.extra(),
                row.seconds,
                1e3 * row.early,
                1e3 * row.late,
                1e3 * row.end
            );
        }
    }
}

/// Percent reported over the condition, in at most `most` groups, each at its mean.
pub fn binned(points: &[(f64, bool)], most: usize) -> Vec<(f64, f64)> {
    let (low, high) = points.iter().fold((f64::MAX, f64::MIN), |(low, high), p| (low.min(p.0), high.max(p.0)));
    let width = ((high - low) / most as f64).max(1e-9);
    let mut bins: BTreeMap<usize, (f64, Count)> = BTreeMap::new();
    for &(at, hit) in points {
        let bin = bins.entry((((at - low) / width) as usize).min(most - 1)).or_default();
        bin.0 += at;
        bin.1.add(hit);
    }
    bins.into_values().map(|(sum, count)| (sum / count.of as f64, count.percent())).collect()
}
