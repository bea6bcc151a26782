//! The flags of commands that run without a server.

use std::path::PathBuf;

use clap::Args;

use crate::config::{ConfigError, Flags, LoadedSettings, Settings};

/// Flags of every command that needs no server.
#[derive(Clone, Debug, Default, Args)]
pub struct CommonFlags {
    /// Read settings from this TOML file; environment variables apply as for the server
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Look for models in this folder [default: ~/.cache/halkspeech/models]
    #[arg(long, value_name = "FOLDER", global = true)]
    pub models_dir: Option<String>,
    /// Log at this level: debug (or trace), info, warning (or warn), error or critical [default: error]
    #[arg(long, value_name = "LEVEL", global = true)]
    pub log_level: Option<String>,
}

impl CommonFlags {
    /// Loads the settings from these flags, `model`, the environment and the file. The default log
    /// level is `error`, because commands print their results.
    ///
    /// # Errors
    ///
    /// As [`Settings::load`].
    pub fn load(self, model: Option<String>) -> Result<LoadedSettings, ConfigError> {
        let log_level = self.log_level.or_else(|| Some("error".to_owned()));
        let flags = Flags {
            model,
            models_dir: self.models_dir,
            log_level,
            ..Flags::default()
        };
        Settings::from_process(self.config, flags)
    }
}
