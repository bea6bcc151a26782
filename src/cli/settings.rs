//! `halkspeech config`: prints the settings, their values and sources.

use std::io::{self, Write};

use super::{ServeFlags, escape};

/// Prints every setting with its value and its source to standard output, and warnings to standard
/// error.
///
/// # Errors
///
/// A setting is invalid.
pub fn print(flags: ServeFlags) -> anyhow::Result<()> {
    let loaded = flags.load()?;
    let table = loaded.table()?.to_string();
    write!(io::stdout(), "{}", escape::lines(&table))?;
    for warning in &loaded.warnings {
        writeln!(
            io::stderr(),
            "warning: {}",
            escape::lines(&warning.to_string())
        )?;
    }
    Ok(())
}
