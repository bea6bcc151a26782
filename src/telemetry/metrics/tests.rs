//! The metrics as they are exported, and their table in docs/metrics.md.

use std::{env, fs};

use super::*;
use crate::telemetry::declare::DeclaredMetric;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");

/// A metric as it is exported, a row of the table in `docs/metrics.md`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Row {
    name: String,
    kind: String,
    labels: Vec<String>,
    help: String,
}

impl Row {
    fn of(metric: &DeclaredMetric) -> Self {
        let unit = metric
            .unit
            .as_ref()
            .map(|unit| format!("_{}", unit.as_str()));
        Self {
            name: format!("{PREFIX}_{}{}", metric.name, unit.unwrap_or_default()),
            kind: metric.kind.as_str().to_owned(),
            labels: metric.labels.iter().copied().map(str::to_owned).collect(),
            help: metric.help.to_owned(),
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            kind,
            labels,
            help,
        } = self;
        let total = if kind == "counter" { "_total" } else { "" };
        let labels = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", labels.join(","))
        };
        writeln!(f, "| `{name}{total}{labels}` | {kind} | {help} |")
    }
}

/// What is exported after every metric with labels has got a value.
fn exported() -> Vec<Row> {
    let metrics = Metrics::new();
    let labels = RequestLabels {
        route: "/health".to_owned(),
        status: 200,
        model: "base".to_owned(),
    };
    metrics.observe_request(&labels, Duration::from_secs(1));
    metrics.observe_window(1, 2, 3);
    metrics.observe_device_memory("cuda:0", 1, 2);
    metrics.count_dropped("no_speech");
    let protocol = "realtime";
    let _zero = metrics
        .live_sessions
        .get_or_create(&LiveLabels { protocol });
    let _zero = metrics
        .live_closed
        .get_or_create(&CloseLabels { code: "1000" });
    let outcome = "shown";
    let _zero = metrics
        .live_partials
        .get_or_create(&PartialLabels { outcome });
    let mut rows: Vec<Row> = Vec::new();
    for line in metrics.encode().lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            rows.push(Row {
                name: name.to_owned(),
                help: help.strip_suffix('.').unwrap_or(help).to_owned(),
                ..Row::default()
            });
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            rows.last_mut().unwrap().kind = kind.split_once(' ').unwrap().1.to_owned();
        } else if let Some((_, labels)) = line.split_once('{') {
            let names = labels.split(',').filter_map(|label| label.split_once('='));
            let names = names.map(|(name, _)| name.to_owned());
            rows.last_mut().unwrap().labels = names.filter(|name| name != "le").collect();
        }
    }
    rows
}

#[test]
fn metrics_are_exported_as_declared() {
    let declared: Vec<Row> = Metrics::DECLARED.iter().map(Row::of).collect();
    let mut exported = exported();
    exported.retain(|row| !row.name.starts_with("process_"));
    assert_eq!(exported, declared);
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the variable is for developers, not a setting"
)]
fn the_documentation_lists_every_metric() {
    let rows: String = exported().iter().map(Row::to_string).collect();
    let table = format!("| metric | type | meaning |\n|---|---|---|\n{rows}");
    let document = fs::read_to_string(DOCUMENT).unwrap();
    let start = document.find("| metric |").unwrap();
    let end = start + document[start..].find("\n\n").unwrap() + 1;
    if env::var_os("UPDATE_DOCS").is_some() {
        let updated = [&document[..start], &table, &document[end..]].concat();
        fs::write(DOCUMENT, updated).unwrap();
        return;
    }
    assert!(
        document[start..end] == table,
        "docs/metrics.md is not up to date. `UPDATE_DOCS=1 cargo test --no-default-features --lib \
         telemetry::metrics` writes its table:\n{table}"
    );
}
