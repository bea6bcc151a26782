//! The key that a command sends to a server.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use reqwest::Url;

use super::bench::target;
use super::escape;
use crate::config::{Flags, Secret, Settings};

/// The key in `file`; without one, that of the settings, if the server is on this machine.
///
/// # Errors
/// The file or the settings cannot be read.
pub fn find(
    server: &Url,
    file: Option<&Path>,
    config: Option<&Path>,
) -> anyhow::Result<Option<Secret>> {
    if let Some(file) = file {
        let shown = escape::path(file);
        let key = fs::read_to_string(file).with_context(|| format!("cannot read {shown}"))?;
        if key.trim().is_empty() {
            bail!("{shown} contains no key");
        }
        return Ok(Some(Secret::new(key.trim())));
    }
    // This machine's key is not sent to another machine.
    if !target::is_loopback(server) {
        return Ok(None);
    }
    let loaded = Settings::from_process(config.map(Path::to_owned), Flags::default())?;
    Ok(loaded.settings.server.api_keys()?.into_iter().next())
}
