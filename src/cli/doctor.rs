//! What stands in the way of serving on this machine, found out without serving.

mod checks;

use std::fmt;
use std::io::{self, Write};

use anyhow::{Context, bail};

use super::{ServeFlags, printed};
use crate::config::LoadedSettings;

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    /// What was looked at.
    subject: &'static str,
    verdict: Verdict,
    /// What is there; or what is wrong, and what to do.
    text: String,
}

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// As it should be.
    Ok,
    /// The server runs, but perhaps not as it was meant.
    Warning,
    /// The server does not start, or answers every request with an error.
    Error,
}

/// Checks the settings and the machine, and prints a line for each finding.
///
/// # Errors
///
/// One of them is an error.
pub fn run(flags: ServeFlags) -> anyhow::Result<()> {
    let findings = match flags.load() {
        Ok(loaded) => check(&loaded)?,
        Err(error) => vec![Finding::error(
            "settings",
            format!("{:#}", anyhow::Error::from(error)),
        )],
    };
    let mut out = io::stdout().lock();
    for finding in &findings {
        writeln!(out, "{}", printed::Printed(&finding.to_string()))?;
    }
    match findings
        .iter()
        .filter(|found| found.verdict == Verdict::Error)
        .count()
    {
        0 => Ok(()),
        errors => bail!("{errors} of {} checks failed", findings.len()),
    }
}

fn check(loaded: &LoadedSettings) -> anyhow::Result<Vec<Finding>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.context("cannot start the async runtime")?;
    let mut findings = checks::settings(loaded);
    findings.push(checks::device(loaded));
    findings.extend(runtime.block_on(checks::models(loaded))?);
    findings.push(checks::downloads(loaded));
    findings.extend(checks::port(loaded));
    findings.push(checks::ffmpeg(loaded));
    findings.push(checks::temporary_files(loaded));
    findings.push(checks::descriptors(loaded));
    Ok(findings)
}

impl Finding {
    fn new(subject: &'static str, verdict: Verdict, text: impl Into<String>) -> Self {
        Self {
            subject,
            verdict,
            text: text.into(),
        }
    }

    fn ok(subject: &'static str, text: impl Into<String>) -> Self {
        Self::new(subject, Verdict::Ok, text)
    }

    fn warning(subject: &'static str, text: impl Into<String>) -> Self {
        Self::new(subject, Verdict::Warning, text)
    }

    fn error(subject: &'static str, text: impl Into<String>) -> Self {
        Self::new(subject, Verdict::Error, text)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Error => "error",
        };
        // A finding is one line; several problems of the settings are parted by line breaks.
        let text = self.text.replace('\n', "; ");
        write!(f, "{verdict:7}  {:15}  {text}", self.subject)
    }
}
