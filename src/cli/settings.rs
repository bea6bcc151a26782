//! The settings at the command line: their values and their sources.

use std::io::{self, Write};

use super::{ServeFlags, printed};

/// Prints every setting with its value and its source; what is probably not as it was meant goes to
/// standard error.
///
/// # Errors
///
/// A setting is wrong.
pub fn print(flags: ServeFlags) -> anyhow::Result<()> {
    let loaded = flags.load()?;
    let table = loaded.table()?.to_string();
    write!(io::stdout(), "{}", printed::lines(&table))?;
    for warning in &loaded.warnings {
        writeln!(
            io::stderr(),
            "warning: {}",
            printed::lines(&warning.to_string())
        )?;
    }
    Ok(())
}
