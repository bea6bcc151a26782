//! The memory this process may use: the machine's, or less in a limited container or service.
//!
//! Control groups (Linux, cgroups(7)): `/proc/self/cgroup` names a process's groups, and each of
//! their folders and parent folders may contain a limit. In a container the named folder is often
//! not mounted; the mounted root is then the container's own group.

use std::fs;
use std::path::{Path, PathBuf};

/// The memory controller's folder of control groups version 1.
const CGROUP_V1_MEMORY: &str = "/sys/fs/cgroup/memory";
/// The root folder of control groups version 2.
const CGROUP_V2: &str = "/sys/fs/cgroup";

/// The memory that the process may use, in bytes; `None` if the system does not report it.
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

/// Logs a warning if the memory in use now plus the budget of decoded audio exceeds the limit. The
/// memory of batches is additional and not counted.
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
            "memory is scarce: decoded audio may need more than is left; lower \
             AUDIO__MAX_DECODED_MIB or AUDIO__MAX_DURATION_S"
        );
    }
}

/// Parses a `/proc` line in kilobytes; returns bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// The files that may contain a limit for a process in these groups; `max` in one means no limit.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else {
            continue;
        };
        let (root, name) = match controllers {
            "" => (CGROUP_V2, "memory.max"),
            _ if controllers.split(',').any(|one| one == "memory") => {
                (CGROUP_V1_MEMORY, "memory.limit_in_bytes")
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
    fn parses_the_memory_of_the_machine() {
        let meminfo = "MemTotal:       24567890 kB\nMemFree:         1234 kB\n";
        assert_eq!(kilobytes(meminfo, "MemTotal:"), Some(24_567_890 * 1024));
        assert_eq!(kilobytes(meminfo, "VmRSS:"), None);
    }

    #[test]
    fn limits_are_read_from_all_parent_groups() {
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
