//! The format of metrics that is older than `OpenMetrics`.

use std::collections::HashSet;

/// `OpenMetrics` in the older text format of Prometheus, 0.0.4, for those who do not ask for the newer:
/// there the name of a counter has its `_total` everywhere, and there are neither units nor an end.
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

/// The name in a line that says that a metric is a counter.
fn counter(line: &str) -> Option<&str> {
    let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
    (kind == "counter").then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_format_has_whole_names_of_counters() {
        let open = "# HELP a Things.\n# TYPE a counter\n# UNIT a seconds\na_total 1\n\
                    # HELP b Others.\n# TYPE b gauge\nb{x=\"# EOF\"} 2\n# EOF\n";
        let text = "# HELP a_total Things.\n# TYPE a_total counter\na_total 1\n\
                    # HELP b Others.\n# TYPE b gauge\nb{x=\"# EOF\"} 2\n";
        assert_eq!(to_prometheus_text(open), text);
    }
}
