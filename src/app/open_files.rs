//! Raises the process's limit of open files to what the system allows.
//!
//! Shells, systemd and Docker start programs with a soft limit of 1024, for programs that still use
//! `select`, and a hard limit far above it that every process may raise itself to; see
//! `man 2 getrlimit`.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the soft limit to the hard one, and warns where this is too few for so many connections.
pub fn raise_limit(connections: usize) {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    if let Some(open_files) = too_few(getrlimit(Resource::Nofile).current, connections) {
        tracing::warn!(
            open_files,
            connections,
            "the limit of open files is below SERVER__MAX_CONNECTIONS"
        );
    }
}

/// The limit, where connections alone can reach it. `None` stands for no limit.
fn too_few(limit: Option<u64>, connections: usize) -> Option<u64> {
    limit.filter(|&limit| limit <= connections as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_too_low_when_connections_alone_reach_it() {
        assert_eq!(too_few(Some(1024), 4096), Some(1024));
        assert_eq!(too_few(Some(4096), 4096), Some(4096));
        assert_eq!(too_few(Some(4097), 4096), None);
        assert_eq!(too_few(None, 4096), None);
    }
}
