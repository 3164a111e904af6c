//! Metrics, the page that explains them, and what is made of them: rules and a dashboard.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use crate::daemon::{Daemon, TOKEN, configure};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn file(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// A daemon that has recorded, so that every metric has a sample.
async fn daemon(folder: &Path) -> Daemon {
    let daemon = Daemon::start(folder, &[("mic", "silence:")]).await.unwrap();
    daemon.ready().await.unwrap();
    let operation = daemon.post("/app/calls/mic/record", r#"{"playBeep":false,"maxRecordDurationInSeconds":1}"#);
    daemon.ended("mic", &operation.await.unwrap()).await.unwrap();
    daemon
}

async fn exposed(daemon: &Daemon) -> String {
    // No token: it listens on loopback.
    let answer = daemon.client.get(format!("{}/metrics", daemon.base)).send().await.unwrap();
    answer.error_for_status().unwrap().text().await.unwrap()
}

/// Name to kind, of all that is exposed.
fn kinds(text: &str) -> BTreeMap<String, String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

#[tokio::test]
async fn the_page_explains_every_metric_that_is_exposed_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let exposed = kinds(&exposed(&daemon(folder.path()).await).await);
    let page = file("reference/metrics.md");
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
        let name = cells.next()?.trim_end_matches('`').split('{').next()?.to_owned();
        Some((name, cells.next()?.to_owned()))
    };
    let explained: BTreeMap<String, String> = page.lines().filter_map(row).collect();
    assert_eq!(explained, exposed);
}

#[tokio::test]
async fn what_has_happened_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let text = exposed(&daemon(folder.path()).await).await;
    for line in [
        "tonearm_operations_ended_total{reason=\"maxRecordDurationReached\"} 1",
        "tonearm_recorded_seconds_total 1",
        "tonearm_lost_frames_total 0",
        "tonearm_line_ready{line=\"mic\"} 1",
        "tonearm_operations{state=\"running\"} 0",
        "tonearm_http_request_duration_seconds_bucket{le=\"+Inf\"}",
    ] {
        assert!(text.lines().any(|told| told.starts_with(line)), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn who_listens_beyond_loopback_asks_for_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let config = configure(folder.path(), &[("mic", "silence:")], "").unwrap();
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("127.0.0.1:0\"", "0.0.0.0:0\"\nhosts = [\"127.0.0.1\"]")).unwrap();
    let daemon = Daemon::with(&config).await.unwrap();
    let url = daemon.base.replace("0.0.0.0", "127.0.0.1") + "/metrics";
    assert_eq!(daemon.client.get(&url).send().await.unwrap().status(), 401);
    assert_eq!(daemon.send(reqwest::Method::GET, &url, None).await.unwrap().status(), 200);
}

/// The expressions of the rules and of the dashboard, its variables filled in.
fn expressions() -> Vec<String> {
    let rules = file("monitoring/alerts.yml");
    let rules = rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).map(str::to_owned);
    let dashboard: Value = serde_json::from_str(&file("monitoring/grafana.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let shown = targets
        .map(|target| target["expr"].as_str().unwrap().replace("$__rate_interval", "1m").replace("$instance", ".*"));
    rules.chain(shown).collect()
}

#[tokio::test]
async fn rules_and_dashboard_name_only_what_is_exposed() {
    let folder = tempfile::tempdir().unwrap();
    let exposed = kinds(&exposed(&daemon(folder.path()).await).await);
    let expressions = expressions();
    assert!(expressions.len() > 20, "{expressions:?}");
    let mut named = BTreeSet::new();
    for expression in &expressions {
        for prefix in ["tonearm_", "process_"] {
            for (at, _) in expression.match_indices(prefix) {
                let name: String =
                    expression[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                named.insert(name.trim_end_matches("_bucket").to_owned());
            }
        }
    }
    let unknown: Vec<_> = named.iter().filter(|name| !exposed.contains_key(*name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

async fn succeeds(command: &mut Command) -> String {
    let output = command.output().await.unwrap();
    let words = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
    assert!(output.status.success(), "{words}");
    words
}

#[tokio::test]
#[ignore = "needs what `make monitoring` installs"]
async fn prometheus_reads_the_daemon_and_every_expression_and_alert_works() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path()).await;
    let rules = root().join("monitoring/alerts.yml");
    succeeds(Command::new("promtool").args(["check", "rules"]).arg(&rules)).await;
    succeeds(Command::new("promtool").args(["test", "rules"]).arg(root().join("monitoring/alerts_test.yml"))).await;
    // The linter takes the page on its standard input.
    let page = folder.path().join("metrics");
    fs::write(&page, exposed(&daemon).await).unwrap();
    let lint =
        succeeds(Command::new("promtool").args(["check", "metrics"]).stdin(fs::File::open(&page).unwrap())).await;
    assert_eq!(lint.trim(), "");

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let config = folder.path().join("prometheus.yml");
    let target = daemon.base.trim_start_matches("http://");
    let text = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{rules:?}]\nscrape_configs:\n  - job_name: tonearm\n    static_configs: [{{targets: [{target:?}]}}]\n"
    );
    fs::write(&config, text).unwrap();
    let mut prometheus = Command::new("prometheus");
    prometheus.arg(format!("--config.file={}", config.display())).arg(format!("--web.listen-address={address}"));
    prometheus.arg(format!("--storage.tsdb.path={}", folder.path().join("tsdb").display()));
    let _prometheus = prometheus.kill_on_drop(true).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let query = async |expression: &str| -> Option<Value> {
        let url = reqwest::Url::parse_with_params(&format!("http://{address}/api/v1/query"), [("query", expression)])
            .unwrap();
        daemon.client.get(url).send().await.ok()?.json::<Value>().await.ok()
    };
    let scraped = async |least: f64| {
        let answer = query("sum_over_time(up[5m])").await;
        let value = answer.and_then(|answer| answer["data"]["result"][0]["value"][1].as_str()?.parse::<f64>().ok());
        value.is_some_and(|value| value >= least)
    };
    for tries in 0.. {
        if scraped(3.0).await {
            break;
        }
        assert!(tries < 300, "Prometheus does not read the daemon");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for expression in expressions() {
        let answer = query(&expression).await.unwrap();
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        // Rules find nothing wrong; what is shown is there.
        let compares = [" == 0", " > ", " < "].iter().any(|sign| expression.contains(sign));
        assert_eq!(answer["data"]["result"].as_array().unwrap().is_empty(), compares, "{expression}: {answer}");
    }
}

#[tokio::test]
#[ignore = "needs what `make monitoring` installs, and namespaces of its own"]
async fn an_entry_of_the_journal_carries_the_operations_id() {
    let folder = tempfile::tempdir().unwrap();
    let config = configure(folder.path(), &[("mic", "silence:")], "").unwrap();
    let mut journal = Command::new("unshare");
    // Loopback stays the host's; only the mounts are its own.
    journal.args(["--mount", "--map-root-user", "python3"]).arg(root().join("tests/journal.py"));
    journal.args([env!("CARGO_BIN_EXE_tonearm")]).arg(&config).arg(TOKEN).env_remove("RUST_LOG");
    let words = succeeds(&mut journal).await;
    let entries: Vec<Value> = words.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let ended = entries.iter().find(|entry| entry["MESSAGE"].as_str().is_some_and(|words| words.contains("has ended")));
    let ended = ended.unwrap_or_else(|| panic!("{words}"));
    let id = ended["TONEARM_OPERATION"].as_str().unwrap_or_else(|| panic!("{ended}"));
    assert_eq!(id.len(), 36, "{ended}");
    assert_eq!(ended["PRIORITY"], "5", "{ended}");
}
