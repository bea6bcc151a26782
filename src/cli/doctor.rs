//! `halkspeech doctor`: checks the settings and the machine without starting the server.

mod checks;

use std::fmt;
use std::io::{self, Write};

use anyhow::{Context, bail};

use super::{ServeFlags, escape};
use crate::config::LoadedSettings;

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    /// What was checked.
    subject: &'static str,
    severity: Severity,
    /// The state; or the problem and its remedy.
    text: String,
}

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Severity {
    /// No problem.
    Ok,
    /// The server runs, but perhaps not as intended.
    Warning,
    /// The server does not start, or every request fails.
    Error,
}

/// Checks the settings and the machine, and prints a line for each finding.
///
/// # Errors
///
/// A finding is an error.
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
        writeln!(out, "{}", escape::Escaped(&finding.to_string()))?;
    }
    match findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
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
    fn new(subject: &'static str, severity: Severity, text: impl Into<String>) -> Self {
        Self {
            subject,
            severity,
            text: text.into(),
        }
    }

    fn ok(subject: &'static str, text: impl Into<String>) -> Self {
        Self::new(subject, Severity::Ok, text)
    }

    fn warning(subject: &'static str, text: impl Into<String>) -> Self {
        Self::new(subject, Severity::Warning, text)
    }

    fn error(subject: &'static str, text: impl Into<String>) -> Self {
        Self::new(subject, Severity::Error, text)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Ok => "ok",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        // A finding is one line; line breaks separate several problems of the settings.
        let text = self.text.replace('\n', "; ");
        write!(f, "{severity:7}  {:15}  {text}", self.subject)
    }
}
