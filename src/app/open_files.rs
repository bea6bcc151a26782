//! Raises the process's limit of open files to what the system allows.
//!
//! Shells, systemd and Docker start programs with a soft limit of 1024, for programs that still use
//! `select`, and a much higher hard limit, to which a process may raise its soft limit; see
//! `man 2 getrlimit`.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the soft limit to the hard one and returns the number of connections to allow: the requested
/// number, but at most half of the open files, because uploads, models and `ffmpeg` need the other half.
/// Logs a warning if that is fewer than requested.
pub fn raise_limit(connections: usize) -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    let open_files = getrlimit(Resource::Nofile).current;
    let allowed = allowed(open_files, connections);
    if allowed < connections {
        tracing::warn!(
            open_files,
            connections = allowed,
            "the limit of open files is below twice SERVER__MAX_CONNECTIONS, so fewer are allowed"
        );
    }
    allowed
}

/// The number of connections to allow. `None` stands for no limit of open files.
fn allowed(open_files: Option<u64>, connections: usize) -> usize {
    let half = open_files.and_then(|files| usize::try_from(files / 2).ok());
    connections.min(half.unwrap_or(usize::MAX).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_take_half_of_the_open_files_at_most() {
        assert_eq!(allowed(Some(1024), 4096), 512);
        assert_eq!(allowed(Some(8191), 4096), 4095);
        assert_eq!(allowed(Some(8192), 4096), 4096);
        assert_eq!(allowed(Some(1), 4096), 1);
        assert_eq!(allowed(None, 4096), 4096);
    }
}
