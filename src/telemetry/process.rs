//! What the process itself takes, under the names that Prometheus' client libraries share.

use std::fmt;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use rustix::process::{Resource, getrlimit};

/// Ticks of a second in `/proc`: fixed for programs, whatever the kernel counts in.
const TICKS_A_SECOND: f64 = 100.0;

/// Reads `/proc` whenever the metrics are asked for; where there is none, it has nothing to say.
#[derive(Debug)]
pub struct Process {
    started_at_s: f64,
}

/// What `/proc` says of a process.
#[derive(Debug, PartialEq)]
struct Usage {
    resident_bytes: u64,
    threads: u64,
    cpu_s: f64,
}

impl Process {
    /// Counts the process's life from now on.
    #[must_use]
    pub fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            started_at_s: now.unwrap_or_default().as_secs_f64(),
        }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut gauge = |name, help, unit: Option<&Unit>, value: f64| {
            let gauge = ConstGauge::new(value);
            let metric = encoder.encode_descriptor(name, help, unit, gauge.metric_type())?;
            gauge.encode(metric)
        };
        let started = self.started_at_s;
        gauge(
            "process_start_time",
            "Start of the process since the epoch",
            Some(&Unit::Seconds),
            started,
        )?;
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        if let Some(usage) = Usage::read(&status, &stat) {
            gauge(
                "process_resident_memory",
                "Memory of the process that is in RAM",
                Some(&Unit::Bytes),
                usage.resident_bytes as f64,
            )?;
            gauge(
                "process_threads",
                "Threads of the process",
                None,
                usage.threads as f64,
            )?;
            if let Ok(files) = fs::read_dir("/proc/self/fd") {
                let files = files.count() as f64;
                gauge("process_open_fds", "Open file descriptors", None, files)?;
            }
            if let Some(limit) = getrlimit(Resource::Nofile).current {
                let help = "Limit of open file descriptors";
                gauge("process_max_fds", help, None, limit as f64)?;
            }
            let cpu = ConstCounter::new(usage.cpu_s);
            let metric = encoder.encode_descriptor(
                "process_cpu",
                "Processor time of the process, in user and system mode",
                Some(&Unit::Seconds),
                cpu.metric_type(),
            )?;
            cpu.encode(metric)?;
        }
        Ok(())
    }
}

impl Usage {
    /// Reads `/proc/self/status` and `/proc/self/stat`; see `man proc`.
    fn read(status: &str, stat: &str) -> Option<Self> {
        let field = |name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        // The second field is the program's name, in parentheses, and may hold anything.
        let (_, after_name) = stat.rsplit_once(')')?;
        let ticks = |number: usize| {
            let text = after_name.split_whitespace().nth(number - 3)?;
            text.parse::<f64>().ok()
        };
        Some(Self {
            resident_bytes: field("VmRSS:")? * 1024,
            threads: field("Threads:")?,
            cpu_s: (ticks(14)? + ticks(15)?) / TICKS_A_SECOND,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        let status = "Name:\thalk\nVmRSS:\t  207012 kB\nThreads:\t12\n";
        let stat = "77 (a ) b) S 1 77 77 0 -1 4194560 900 0 2 0 250 50 0 0 20 0 12 0 99";
        let usage = Usage {
            resident_bytes: 207_012 * 1024,
            threads: 12,
            cpu_s: 3.0,
        };
        assert_eq!(Usage::read(status, stat), Some(usage));
        assert_eq!(Usage::read("", stat), None);
        assert_eq!(Usage::read(status, ""), None);
    }
}
