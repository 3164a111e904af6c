//! What is seen, as a table that is drawn in place. The terminal is as it was once the table is dropped.

use console::{Term, style, truncate_str};
use reqwest::Url;

use super::seen::{Line, Operation, Seen, State};

/// The terminal's second screen, without a cursor; and back.
const OPEN: &str = "\x1b[?1049h\x1b[?25l";
const CLOSE: &str = "\x1b[?25h\x1b[?1049l";
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_REST: &str = "\x1b[J";

/// A table on standard output.
pub struct Table(Term);

impl Table {
    pub fn open() -> Table {
        let term = Term::stdout();
        let _ = term.write_str(OPEN);
        Table(term)
    }

    /// Draws what is seen of a daemon.
    pub fn draw(&self, url: &Url, seen: &Seen) {
        self.put(&rows(url, seen));
    }

    /// Says why there is nothing to draw for the time being.
    pub fn wait(&self, why: &str) {
        self.put(&[style(why).red().to_string(), "Trying again. Ctrl-C ends.".to_owned()]);
    }

    /// As much as there is room for, in one piece, so that it does not flicker.
    fn put(&self, rows: &[String]) {
        let (height, width) = self.0.size();
        let cut = |row| format!("{}{CLEAR_LINE}", truncate_str(row, width.into(), ""));
        let shown: Vec<String> = rows.iter().take(height.into()).map(|row| cut(row)).collect();
        // A terminal that is gone sends us SIGHUP.
        let _ = self.0.write_str(&format!("{HOME}{}{CLEAR_REST}", shown.join("\r\n")));
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        let _ = self.0.write_str(CLOSE);
    }
}

fn rows(url: &Url, seen: &Seen) -> Vec<String> {
    let waiting = seen.operations.iter().filter(|one| one.state == State::Waits).count();
    let running = seen.operations.len() - waiting;
    let head = |text: String| style(text).bold().to_string();
    let mut rows = vec![
        format!("tonearm at {url}: {} lines, {running} running, {waiting} waiting. Ctrl-C ends.", seen.lines.len()),
        String::new(),
    ];
    let names = seen.lines.iter().map(|line| name_of(line, line.levels.len().saturating_sub(1)).chars().count());
    let width = names.max().unwrap_or(0).max("LINE".len());
    let of_level = "LEVEL, : FLOOR, | THRESHOLD";
    rows.push(head(format!("{:width$}  {of_level:30}    dBFS   FLOOR  THRESH           KEY", "LINE")));
    rows.extend(seen.lines.iter().flat_map(|line| line_rows(line, width)));
    if !seen.operations.is_empty() {
        rows.push(String::new());
        rows.push(head(format!("{:width$}  {:36}  {:>9}  ENDS BY", "LINE", "OPERATION", "ELAPSED")));
        rows.extend(seen.operations.iter().map(|one| operation_row(one, width)));
    }
    if !seen.ended.is_empty() {
        rows.push(String::new());
        rows.push(head(format!("{:width$}  {:36}  {:>9}  ENDED BY", "LINE", "OPERATION", "KEPT")));
        rows.extend(seen.ended.iter().map(|one| operation_row(one, width)));
    }
    rows
}

/// What a channel of a line is called.
fn name_of(line: &Line, channel: usize) -> String {
    if line.levels.len() > 1 { format!("{}/{}", line.name, channel + 1) } else { line.name.clone() }
}

fn line_rows(line: &Line, width: usize) -> Vec<String> {
    if let Some(why) = &line.trouble {
        return vec![format!("{:width$}  {}", line.name, style(format!("not ready: {why}")).red())];
    }
    if line.levels.is_empty() {
        return vec![format!("{:width$}  closed; a recording opens it", line.name)];
    }
    let row = |(channel, level): (usize, &super::super::meter::Level)| {
        let word = style(format!("{:7}", level.word()));
        let word = if level.speaking { word.green() } else { word };
        format!(
            "{:width$}  {}  {:6.1}  {:6.1}  {:6.1}  {word}  {}",
            name_of(line, channel),
            level.bar(),
            level.rms_dbfs,
            level.noise_floor_dbfs,
            level.threshold_dbfs,
            line.key.as_deref().unwrap_or_default(),
        )
        .trim_end()
        .to_owned()
    };
    line.levels.iter().enumerate().map(row).collect()
}

fn operation_row(one: &Operation, width: usize) -> String {
    let (elapsed, end) = match &one.state {
        State::Waits => (None, "waits for its turn".to_owned()),
        State::Plays => (None, "plays".to_owned()),
        State::Records { seconds, due: Some((reason, left)) } => (Some(*seconds), format!("{reason} in {left:.1} s")),
        State::Records { seconds, due: None } => (Some(*seconds), String::new()),
        State::Ended { reason, seconds } => (*seconds, reason.clone()),
    };
    let elapsed = elapsed.map_or("-".to_owned(), |seconds| format!("{seconds:.1} s"));
    let context = one.context.as_ref().map(|context| format!("  {}", plain(context))).unwrap_or_default();
    format!("{:width$}  {:36}  {elapsed:>9}  {end}{context}", one.line, one.id)
}

/// Text of others, without what would move the cursor.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::super::super::meter::Level;
    use super::*;

    fn line(name: &str, levels: Vec<Level>) -> Line {
        Line { name: name.to_owned(), trouble: None, levels, key: None }
    }

    #[test]
    fn the_table_shows_each_channel_what_runs_and_what_will_end_it() {
        let level = Level { rms_dbfs: -20.0, noise_floor_dbfs: -58.0, threshold_dbfs: -40.0, speaking: true };
        let trouble = Some("busy".to_owned());
        let mut seen = Seen { lines: Vec::new(), operations: Vec::new(), ended: VecDeque::new() };
        seen.lines.push(Line { key: Some("#".to_owned()), ..line("desk", vec![level, level]) });
        seen.lines.push(Line { trouble, ..line("hall", Vec::new()) });
        seen.lines.push(line("door", Vec::new()));
        let one = |id: &str, context: Option<&str>, state| Operation {
            line: "desk".to_owned(),
            id: id.to_owned(),
            context: context.map(str::to_owned),
            state,
        };
        let due = Some(("maxSilenceTimeout".to_owned(), 3.24));
        seen.operations.push(one("a", Some("hello\x1b[2J"), State::Records { seconds: 12.43, due }));
        seen.operations.push(one("b", None, State::Waits));
        seen.ended.push_front(one(
            "c",
            None,
            State::Ended { reason: "stopToneDetected".to_owned(), seconds: Some(2.0) },
        ));
        let rows = rows(&"http://127.0.0.1:8723".parse().unwrap(), &seen);
        let bar = "#:########|#########..........";
        let shown = [
            "tonearm at http://127.0.0.1:8723/: 3 lines, 1 running, 1 waiting. Ctrl-C ends.".to_owned(),
            String::new(),
            "LINE    LEVEL, : FLOOR, | THRESHOLD       dBFS   FLOOR  THRESH           KEY".to_owned(),
            format!("desk/1  {bar}   -20.0   -58.0   -40.0  speech   #"),
            format!("desk/2  {bar}   -20.0   -58.0   -40.0  speech   #"),
            "hall    not ready: busy".to_owned(),
            "door    closed; a recording opens it".to_owned(),
            String::new(),
            format!("LINE    {:36}    ELAPSED  ENDS BY", "OPERATION"),
            format!("desk    {:36}     12.4 s  maxSilenceTimeout in 3.2 s  hello [2J", "a"),
            format!("desk    {:36}          -  waits for its turn", "b"),
            String::new(),
            format!("LINE    {:36}       KEPT  ENDED BY", "OPERATION"),
            format!("desk    {:36}      2.0 s  stopToneDetected", "c"),
        ];
        for (row, shown) in rows.iter().zip(&shown) {
            assert_eq!(console::strip_ansi_codes(row), shown.as_str());
        }
        assert_eq!(rows.len(), shown.len());
    }
}
