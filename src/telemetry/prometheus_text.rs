//! Converts `OpenMetrics` into the older text format of Prometheus.

use std::collections::HashSet;

/// Converts `OpenMetrics` into the Prometheus text format 0.0.4, for clients that do not accept
/// `OpenMetrics`: counters have `_total` in `HELP` and `TYPE` lines too, and there is no `UNIT` or `EOF`.
#[must_use]
pub fn to_prometheus_text(open_metrics: &str) -> String {
    let counters: HashSet<&str> = open_metrics.lines().filter_map(counter).collect();
    let mut text = String::with_capacity(open_metrics.len());
    for line in open_metrics.lines() {
        if line.starts_with("# UNIT ") || line == "# EOF" {
            continue;
        }
        let comment = ["# HELP ", "# TYPE "].iter().find_map(|&start| {
            let (name, rest) = line.strip_prefix(start)?.split_once(' ')?;
            (counters.contains(name)).then(|| format!("{start}{name}_total {rest}"))
        });
        text.push_str(comment.as_deref().unwrap_or(line));
        text.push('\n');
    }
    text
}

/// The metric's name, if the line declares a counter.
fn counter(line: &str) -> Option<&str> {
    let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
    (kind == "counter").then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_and_type_lines_of_counters_end_in_total() {
        let open = "# HELP a Things.\n# TYPE a counter\n# UNIT a seconds\na_total 1\n\
                    # HELP b Others.\n# TYPE b gauge\nb{x=\"# EOF\"} 2\n# EOF\n";
        let text = "# HELP a_total Things.\n# TYPE a_total counter\na_total 1\n\
                    # HELP b Others.\n# TYPE b gauge\nb{x=\"# EOF\"} 2\n";
        assert_eq!(to_prometheus_text(open), text);
    }
}
