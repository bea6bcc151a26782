//! Metrics of the process itself, under the standard names of Prometheus' client libraries.

use std::fmt;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use rustix::process::{Resource, getrlimit};

/// Clock ticks per second in `/proc`: fixed in user space, whatever the kernel uses.
const TICKS_PER_SECOND: f64 = 100.0;

/// Reads `/proc` each time the metrics are read; without `/proc` only the start time is collected.
#[derive(Debug)]
pub struct ProcessCollector {
    started_at_s: f64,
}

/// Resources that a process uses, from `/proc`.
#[derive(Debug, PartialEq)]
struct ProcessUsage {
    resident_bytes: u64,
    threads: u64,
    cpu_s: f64,
}

impl ProcessCollector {
    /// Records the current time as the start of the process.
    #[must_use]
    pub fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            started_at_s: now.unwrap_or_default().as_secs_f64(),
        }
    }
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut gauge = |name, help, unit: Option<&Unit>, value: f64| {
            let gauge = ConstGauge::new(value);
            let metric = encoder.encode_descriptor(name, help, unit, gauge.metric_type())?;
            gauge.encode(metric)
        };
        let started = self.started_at_s;
        gauge(
            "process_start_time",
            "Start time of the process since the Unix epoch",
            Some(&Unit::Seconds),
            started,
        )?;
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        if let Some(usage) = ProcessUsage::parse(&status, &stat) {
            gauge(
                "process_resident_memory",
                "Resident memory of the process",
                Some(&Unit::Bytes),
                usage.resident_bytes as f64,
            )?;
            gauge(
                "process_threads",
                "Number of threads of the process",
                None,
                usage.threads as f64,
            )?;
            if let Ok(files) = fs::read_dir("/proc/self/fd") {
                let files = files.count() as f64;
                let help = "Number of open file descriptors";
                gauge("process_open_fds", help, None, files)?;
            }
            if let Some(limit) = getrlimit(Resource::Nofile).current {
                let help = "Maximum number of open file descriptors";
                gauge("process_max_fds", help, None, limit as f64)?;
            }
            let cpu = ConstCounter::new(usage.cpu_s);
            let metric = encoder.encode_descriptor(
                "process_cpu",
                "User and system CPU time of the process",
                Some(&Unit::Seconds),
                cpu.metric_type(),
            )?;
            cpu.encode(metric)?;
        }
        Ok(())
    }
}

impl ProcessUsage {
    /// Parses `/proc/self/status` and `/proc/self/stat`; see `man proc`.
    fn parse(status: &str, stat: &str) -> Option<Self> {
        let field = |name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        // The second field is the program's name in parentheses, which may contain any character.
        let (_, after_name) = stat.rsplit_once(')')?;
        let ticks = |number: usize| {
            let text = after_name.split_whitespace().nth(number - 3)?;
            text.parse::<f64>().ok()
        };
        Some(Self {
            resident_bytes: field("VmRSS:")? * 1024,
            threads: field("Threads:")?,
            cpu_s: (ticks(14)? + ticks(15)?) / TICKS_PER_SECOND,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_status_and_stat() {
        let status = "Name:\thalk\nVmRSS:\t  207012 kB\nThreads:\t12\n";
        let stat = "77 (a ) b) S 1 77 77 0 -1 4194560 900 0 2 0 250 50 0 0 20 0 12 0 99";
        let usage = ProcessUsage {
            resident_bytes: 207_012 * 1024,
            threads: 12,
            cpu_s: 3.0,
        };
        assert_eq!(ProcessUsage::parse(status, stat), Some(usage));
        assert_eq!(ProcessUsage::parse("", stat), None);
        assert_eq!(ProcessUsage::parse(status, ""), None);
    }
}
