//! The page of a run: the tables, and plots as inline SVG. It needs nothing from anywhere else.

use std::fmt::Write;

/// A curve by name; the same name has the same colour on the whole page.
pub type Series = (String, Vec<(f64, f64)>);

#[derive(Default)]
pub struct Page {
    body: String,
    names: Vec<String>,
}

const COLOURS: [&str; 9] =
    ["#0a7d3b", "#57b97d", "#1f5fbf", "#7fb0ee", "#c0392b", "#d98c00", "#7d3c98", "#555", "#00838f"];
const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 44.0;
const BOTTOM: f64 = 36.0;

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// About five round numbers over a range.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let raw = (high - low) / 5.0;
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|n| n * power).find(|step| *step >= raw).unwrap_or(raw);
    let first = (low / step).ceil() as i64;
    (first..).map(|n| n as f64 * step).take_while(|tick| *tick <= high + 1e-9).collect()
}

/// The share of values up to each, as a curve.
pub fn distribution(mut values: Vec<f64>) -> Vec<(f64, f64)> {
    values.sort_by(f64::total_cmp);
    let share = |n: usize| 100.0 * (n + 1) as f64 / values.len() as f64;
    let step = (values.len() / 200).max(1);
    let last = values.len().saturating_sub(1);
    values.iter().enumerate().filter(|(n, _)| n % step == 0 || *n == last).map(|(n, &x)| (x, share(n))).collect()
}

impl Page {
    pub fn heading(&mut self, text: &str) {
        let _ = writeln!(self.body, "<h2>{}</h2>", escaped(text));
    }

    pub fn table(&mut self, lines: &[Vec<String>]) {
        self.body += "<table>\n";
        for (n, line) in lines.iter().enumerate() {
            let tag = if n == 0 { "th" } else { "td" };
            let cells: String = line.iter().map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell))).collect();
            let _ = writeln!(self.body, "<tr>{cells}</tr>");
        }
        self.body += "</table>\n";
    }

    fn colour(&mut self, name: &str) -> &'static str {
        let at = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        COLOURS[at % COLOURS.len()]
    }

    /// Percent over `x`, from `range`'s first to its second if it is given.
    pub fn plot(&mut self, title: &str, x: &str, range: Option<(f64, f64)>, series: &[Series]) {
        let all = || series.iter().flat_map(|(_, points)| points.iter().map(|p| p.0));
        let (low, high) = range.unwrap_or_else(|| (all().fold(f64::MAX, f64::min), all().fold(f64::MIN, f64::max)));
        if low >= high {
            return;
        }
        let place = |x: f64| LEFT + (x.clamp(low, high) - low) / (high - low) * (WIDTH - LEFT - 8.0);
        let height = |y: f64| HEIGHT - BOTTOM - y / 100.0 * (HEIGHT - BOTTOM - 24.0);
        let mut svg = format!(
            "<svg width='{WIDTH}' height='{HEIGHT}'><text x='{LEFT}' y='14' class='t'>{}</text>",
            escaped(title)
        );
        for y in [0.0, 25.0, 50.0, 75.0, 100.0] {
            let at = height(y);
            let _ = write!(
                svg,
                "<path d='M{LEFT} {at:.1}H{}' class='g'/><text x='{}' y='{:.1}' class='e'>{y}</text>",
                WIDTH - 8.0,
                LEFT - 4.0,
                at + 4.0
            );
        }
        for tick in ticks(low, high) {
            let (at, text) = (place(tick), (tick * 1e6).round() / 1e6);
            let _ = write!(
                svg,
                "<path d='M{at:.1} {:.1}V24' class='g'/><text x='{at:.1}' y='{}' class='m'>{text}</text>",
                HEIGHT - BOTTOM,
                HEIGHT - 22.0
            );
        }
        let _ = write!(svg, "<text x='{}' y='{}' class='m'>{}</text>", WIDTH / 2.0, HEIGHT - 6.0, escaped(x));
        for (name, points) in series {
            let colour = self.colour(name);
            let line: Vec<String> = points.iter().map(|p| format!("{:.1},{:.1}", place(p.0), height(p.1))).collect();
            let _ = write!(
                svg,
                "<polyline points='{}' stroke='{colour}'><title>{}</title></polyline>",
                line.join(" "),
                escaped(name)
            );
        }
        let _ = writeln!(self.body, "{svg}</svg>");
    }

    /// The whole, with the legend in front.
    pub fn html(&self, title: &str) -> String {
        let names = self.names.iter().zip(COLOURS.iter().cycle());
        let legend: String =
            names.map(|(name, colour)| format!("<b style='color:{colour}'>{}</b> ", escaped(name))).collect();
        let style = "body{font:14px sans-serif;margin:2em}svg{margin:4px}polyline{fill:none;stroke-width:1.6}\
            .g{stroke:#ddd}text{font-size:11px}.t{font-size:13px;font-weight:bold}.e{text-anchor:end}.m{text-anchor:middle}\
            table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:2px 8px;text-align:right}\
            td:first-child{text-align:left}nav{position:sticky;top:0;background:#fff;padding:6px}";
        format!(
            "<!doctype html><meta charset=utf-8><title>{title}</title><style>{style}</style>\n<h1>{title}</h1>\n<nav>{legend}</nav>\n{}",
            self.body
        )
    }
}
