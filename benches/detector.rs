//! Scores the detectors on audio with known contents, beside the references, and times them.
//!
//! `make bench-detect`, or `cargo bench --no-default-features --bench detector`; other seeds: `-- 7 8 9`; parts of it:
//! `-- keys data latency silence speed instructions`.

mod corpus;
mod reference;
mod score;

use corpus::{talkoff, tones, ways};
use score::page::{self, Page};
use score::{Heard, Table, data, latency, ours, report, silence, speed};

/// Presses a class and seed, and seconds of each kind without a key.
const COUNT: usize = 320;
const SECONDS: f64 = 240.0;

/// Its name, the rate that it hears at, and how it hears audio that is fed to it in blocks of some ms.
type Detector = (String, u32, Box<dyn Fn(&[f32], f64) -> Vec<Heard>>);

const RATES: [u32; 4] = [8_000, 16_000, 44_100, 48_000];

fn detectors() -> Vec<Detector> {
    let mut detectors: Vec<Detector> = Vec::new();
    for hz in RATES {
        detectors.push((format!("ours, {hz} Hz"), hz, Box::new(move |audio, feed_ms| ours::keys(audio, hz, feed_ms))));
    }
    match reference::spandsp() {
        Some(program) => detectors.push((
            "spandsp".to_owned(),
            8_000,
            Box::new(move |audio, feed_ms| program.run(audio, (8.0 * feed_ms) as usize, 1).0),
        )),
        None => println!("spandsp is not here (libspandsp-dev and cc): skipped"),
    }
    if reference::has_multimon() {
        detectors.push(("multimon-ng".to_owned(), 8_000, Box::new(|audio, _| reference::multimon(audio))));
    } else {
        println!("multimon-ng is not here: skipped");
    }
    detectors.push(("goertzel-filter".to_owned(), 8_000, Box::new(|audio, _| reference::goertzel(audio))));
    detectors
}

/// Prints a table and puts it on the page.
fn show(page: &mut Page, title: &str, lines: &[Vec<String>]) {
    println!("\n{title}");
    report::print(lines);
    page.heading(title);
    page.table(lines);
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [hear, what, hz, kind, seconds] = &arguments[..]
        && hear == "hear"
    {
        return speed::hear(what, hz.parse().expect("a rate"), kind, seconds.parse().expect("seconds"));
    }
    let (seeds, parts): (Vec<String>, Vec<String>) =
        arguments.into_iter().filter(|one| !one.starts_with('-')).partition(|one| one.parse::<u64>().is_ok());
    let mut seeds: Vec<u64> = seeds.iter().flat_map(|seed| seed.parse()).collect();
    if seeds.is_empty() {
        seeds = vec![101, 102];
    }
    let asked = |part: &str| parts.is_empty() || parts.iter().any(|one| one == part);
    let detectors = detectors();
    let mut page = Page::default();

    if asked("keys") {
        let tables = keys(&detectors, &seeds);
        for (name, table) in &tables {
            println!("\n{name}, feed 10 ms");
            table.print();
            if name.starts_with("ours") {
                table.wrong().iter().for_each(|line| println!("    {line}"));
            }
        }
        show(&mut page, &format!("Keys: feed 10 ms, seeds {seeds:?}"), &report::keys(&tables));
        plot_keys(&mut page, &tables);
    }
    let plain: Vec<latency::Fed> = detectors
        .iter()
        .filter(|(_, hz, _)| [8_000, 48_000].contains(hz))
        .map(|(name, hz, detect)| (name.as_str(), *hz, &**detect))
        .collect();
    if asked("data") {
        let (lines, heard) = data::score(&plain);
        show(&mut page, "Voices and music in which no key is pressed (make bench-data)", &lines);
        heard.iter().filter(|line| line.starts_with("ours")).take(20).for_each(|line| println!("  {line}"));
    }
    if asked("latency") {
        let timed: Vec<_> = plain.iter().filter(|(name, ..)| *name != "multimon-ng").copied().collect();
        let delays = latency::measure(&timed, &seeds);
        show(&mut page, "Onset to decision", &latency::table(&delays));
        plot_delays(&mut page, &delays);
    }
    if asked("silence") {
        let scores = silence::measure(&seeds, 20, |pieces| {
            let voiced = reference::webrtc(pieces);
            if voiced.is_none() {
                println!("WebRTC's detector is not here (`make bench-detect` fetches it): skipped");
            }
            voiced
        });
        show(&mut page, "End of speech: hang time 2 s", &silence::table(&scores));
        plot_ends(&mut page, &scores);
    }
    if asked("speed") {
        let program = reference::spandsp();
        let theirs = program.as_ref().map(|program| |audio: &[f32]| program.run(audio, 80, 60).1);
        let theirs = theirs.as_ref().map(|theirs| theirs as speed::Other);
        show(&mut page, "What it costs", &speed::nanoseconds(theirs));
    }
    if asked("instructions") {
        show(&mut page, "What it costs, whatever else runs", &speed::instructions());
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/target/bench-detect/index.html");
    std::fs::create_dir_all(std::path::Path::new(path).parent().expect("a folder")).expect("target is writable");
    std::fs::write(path, page.html("tonearm: detectors")).expect("target is writable");
    println!("\nplots: {path}");
}

/// Every detector's score on every class of its rate.
fn keys(detectors: &[Detector], seeds: &[u64]) -> Vec<(String, Table)> {
    let mut tables: Vec<_> = detectors.iter().map(|(name, ..)| (name.clone(), Table::default())).collect();
    for hz in RATES {
        for &seed in seeds {
            let rate = f64::from(hz);
            let cases = tones::all(rate, seed, COUNT).into_iter().chain(ways::all(rate, seed, COUNT));
            for case in cases.chain(talkoff::all(rate, seed, SECONDS)) {
                for ((_, rate, detect), (_, table)) in detectors.iter().zip(&mut tables) {
                    if *rate == hz {
                        table.score(&case, &detect(&case.audio, 10.0));
                    }
                }
            }
        }
    }
    tables
}

fn plot_keys(page: &mut Page, tables: &[(String, Table)]) {
    page.heading("Reported, %, over each condition");
    for row in tables[0].1.rows.iter().filter(|row| !row.axis.is_empty()) {
        let series: Vec<page::Series> = tables
            .iter()
            .filter_map(|(name, table)| Some((name.clone(), table.rows.iter().find(|other| other.class == row.class)?)))
            .map(|(name, row)| (name, score::binned(&row.points, 24)))
            .collect();
        page.plot(row.class, row.axis, None, &series);
    }
}

fn plot_delays(page: &mut Page, delays: &[latency::Delays]) {
    page.heading("Onset to decision, % within so many ms");
    for one in delays.iter().filter(|one| one.detector == delays[0].detector) {
        let same = delays.iter().filter(|other| other.condition == one.condition && other.feed_ms == one.feed_ms);
        let series: Vec<page::Series> = same
            .map(|other| (other.detector.clone(), page::distribution(other.ms.iter().map(|ms| ms.1).collect())))
            .collect();
        page.plot(&format!("{}, feed {} ms", one.condition, one.feed_ms), "ms", Some((20.0, 80.0)), &series);
    }
}

fn plot_ends(page: &mut Page, scores: &[silence::Score]) {
    page.heading("End of speech, % of all cases stopped right, up to so many ms of error");
    type Values = fn(&silence::Outcome) -> &Vec<f64>;
    let kinds: [(&str, Values); 2] =
        [("last voice − true end", |all| &all.errors), ("decision − 2 s − true end", |all| &all.decisions)];
    for (title, values) in kinds {
        let series: Vec<page::Series> = scores
            .iter()
            .map(|score| {
                let all = score.all();
                let share = values(&all).len() as f64 / all.cases as f64;
                let curve = page::distribution(values(&all).clone());
                (score.name.clone(), curve.into_iter().map(|(x, y)| (x, y * share)).collect())
            })
            .collect();
        page.plot(title, "ms", Some((-500.0, 1_000.0)), &series);
    }
}
