//! The memory this process may use: the machine's, or less where a container or a service is limited.
//!
//! Control groups (Linux, cgroups(7)): a process's groups are named in `/proc/self/cgroup`, and each
//! of their folders, and of those above it, may hold a limit. In a container the folder it names is
//! often not mounted; what is mounted there is the container's own.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the first version of control groups keeps limits of memory.
const VERSION_1: &str = "/sys/fs/cgroup/memory";
/// Where the second version keeps everything.
const VERSION_2: &str = "/sys/fs/cgroup";

/// What the process may use, in bytes; none where the system does not say.
pub fn limit_bytes() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok();
    let machine = machine
        .as_deref()
        .and_then(|text| kilobytes(text, "MemTotal:"));
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = limit_files(&groups)
        .into_iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .filter_map(|text| text.trim().parse().ok());
    limits.chain(machine).min()
}

/// Logs a warning if the memory in use now plus the budget of decoded audio exceeds the limit. What
/// batches take comes on top and is not counted.
pub fn warn_if_scarce(decoded_bytes: u64) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let (Some(limit), Some(used)) = (limit_bytes(), kilobytes(&status, "VmRSS:")) else {
        return;
    };
    if used.saturating_add(decoded_bytes) > limit {
        tracing::warn!(
            memory.limit_mib = limit >> 20,
            memory.used_mib = used >> 20,
            memory.decoded_mib = decoded_bytes >> 20,
            "memory is scarce: decoded audio may take more than is left; lower \
             AUDIO__MAX_DECODED_MIB or AUDIO__MAX_DURATION_S"
        );
    }
}

/// Reads a line of `/proc` that counts kilobytes; in bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// The files in which a limit may stand for a process of these groups; `max` in one is none.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else {
            continue;
        };
        let (root, name) = match controllers {
            "" => (VERSION_2, "memory.max"),
            _ if controllers.split(',').any(|one| one == "memory") => {
                (VERSION_1, "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let group = Path::new(group.trim_start_matches('/'));
        files.extend(
            group
                .ancestors()
                .map(|group| Path::new(root).join(group).join(name)),
        );
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_machine_has() {
        let meminfo = "MemTotal:       24567890 kB\nMemFree:         1234 kB\n";
        assert_eq!(kilobytes(meminfo, "MemTotal:"), Some(24_567_890 * 1024));
        assert_eq!(kilobytes(meminfo, "VmRSS:"), None);
    }

    #[test]
    fn limits_are_looked_for_in_all_groups_above() {
        let files = |groups| {
            let files = limit_files(groups).into_iter();
            files
                .map(|path| path.display().to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            files("0::/a.slice/b\n"),
            [
                "/sys/fs/cgroup/a.slice/b/memory.max",
                "/sys/fs/cgroup/a.slice/memory.max",
                "/sys/fs/cgroup/memory.max",
            ]
        );
        assert_eq!(
            files("5:cpu:/x\n4:hugetlb,memory:/docker/1\n"),
            [
                "/sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/docker/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            ]
        );
        assert!(files("").is_empty());
    }
}
