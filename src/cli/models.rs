//! `halkspeech models`: lists, downloads, removes and shows the models on disk.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use indicatif::{HumanBytes, ProgressBar};

use super::{CommonFlags, escape, progress_bar};
use crate::app::{services, startup_warnings};
use crate::config::LoadedSettings;
use crate::models::files::{SPEAKER_COMMAND, SPEAKER_MODEL};
use crate::models::{Aliases, Catalog, Download, ModelId, StoredModel, StoredSpeakerModel};
use crate::telemetry::{Metrics, logging, traces::Tracing};

/// Flags of `models`.
#[derive(Clone, Debug, Args)]
pub struct ModelsFlags {
    /// The action
    #[command(subcommand)]
    pub action: ModelsAction,
    #[command(flatten)]
    pub(super) common: CommonFlags,
}

/// An action on the models on disk.
#[derive(Clone, Debug, Subcommand)]
pub enum ModelsAction {
    /// List the models on disk
    List,
    /// Download a model from the Hugging Face hub; a model on disk stays unchanged
    Pull {
        /// `owner/name`, optionally with `@revision`, or a short name such as large-v3-turbo
        id: String,
    },
    /// Remove a model's files
    Rm {
        /// The model, as `models list` names it
        id: String,
    },
    /// Show a model's details
    Show {
        /// The model, as `models list` names it
        id: String,
    },
}

/// The actions, with the data that all of them need.
struct ModelCommands {
    loaded: LoadedSettings,
    catalog: Arc<Catalog>,
    aliases: Aliases,
}

/// Lists, downloads, removes or shows models.
///
/// # Errors
///
/// There is no such model, or it cannot be downloaded or removed.
pub fn run(flags: ModelsFlags) -> anyhow::Result<()> {
    let loaded = flags.common.load(None)?;
    logging::init(&loaded.settings.log, &Tracing::none())?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    runtime.block_on(async {
        let commands = ModelCommands {
            catalog: services::open_catalog(&loaded.settings.models).await?,
            aliases: services::aliases(&loaded)?,
            loaded,
        };
        match flags.action {
            ModelsAction::List => commands.list(),
            ModelsAction::Pull { id } => commands.pull(&id).await,
            ModelsAction::Rm { id } => commands.remove(&id).await,
            ModelsAction::Show { id } => commands.show(&id),
        }
    })
}

impl ModelCommands {
    fn list(&self) -> anyhow::Result<()> {
        let warning = startup_warnings::models_dir_warning(&self.loaded, &self.catalog);
        if let Some(warning) = warning {
            writeln!(io::stderr(), "warning: {}", escape::lines(&warning))?;
        }
        let models = self.catalog.list();
        let rows = models.iter().map(|model| {
            [
                model.id.to_string(),
                model.shape.family(),
                HumanBytes(model.size_bytes).to_string(),
                model.shape.stored_type.name().to_owned(),
                languages(model),
            ]
        });
        let head = ["MODEL", "FAMILY", "SIZE", "TYPE", "LANGUAGES"].map(str::to_owned);
        let speakers = self.catalog.speaker_model().map(|model| {
            let size = HumanBytes(model.size_bytes).to_string();
            let name = model.id.to_string();
            [
                name,
                "speakers".to_owned(),
                size,
                "float32".to_owned(),
                "-".to_owned(),
            ]
        });
        let rows: Vec<_> = std::iter::once(head).chain(rows).chain(speakers).collect();
        let mut widths = [0; 5];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.len().max(*width);
            }
        }
        let mut out = io::stdout().lock();
        for [id, family, size, kind, languages] in &rows {
            let [w0, w1, w2, w3, _] = widths;
            writeln!(
                out,
                "{id:w0$}  {family:w1$}  {size:>w2$}  {kind:w3$}  {languages}"
            )?;
        }
        Ok(())
    }

    fn show(&self, name: &str) -> anyhow::Result<()> {
        if let Some(model) = self.speaker_model(name)? {
            let mut out = io::stdout().lock();
            writeln!(out, "{:12}{}", "model", model.id)?;
            writeln!(out, "{:12}{}", "folder", escape::path(&model.dir))?;
            writeln!(out, "{:12}{}", "size", HumanBytes(model.size_bytes))?;
            return Ok(());
        }
        let model = self.find(name)?;
        let shape = &model.shape;
        let lines = [
            ("model", model.id.to_string()),
            ("family", shape.family()),
            ("folder", escape::path(&model.dir)),
            ("size", HumanBytes(model.size_bytes).to_string()),
            ("type", shape.stored_type.name().to_owned()),
            ("parameters", shape.parameters.to_string()),
            ("mel bins", shape.n_mels.to_string()),
            (
                "layers",
                format!(
                    "{} encoder, {} decoder",
                    shape.encoder_layers, shape.decoder_layers
                ),
            ),
            ("languages", model.languages.join(" ")),
            (
                "aliases",
                self.aliases.of(&model.id, &*self.catalog).join(" "),
            ),
        ];
        let mut out = io::stdout().lock();
        for (name, value) in lines {
            writeln!(out, "{name:12}{value}")?;
        }
        Ok(())
    }

    async fn pull(&self, name: &str) -> anyhow::Result<()> {
        let id = self.resolve(name)?;
        let mut out = io::stdout();
        if self.is_on_disk(&id) {
            writeln!(out, "{id} is already on disk")?;
            return Ok(());
        }
        if id.as_str().eq_ignore_ascii_case(SPEAKER_MODEL) {
            bail!("{SPEAKER_MODEL} is not on the hub; this command installs it: {SPEAKER_COMMAND}");
        }
        let models = &self.loaded.settings.models;
        let downloads = services::downloads(models, &self.catalog, &Metrics::new())?;
        let download = downloads.start(&id);
        let bar = progress_bar::bytes(0);
        bar.set_message(id.to_string());
        if !io::stderr().is_terminal() {
            writeln!(
                io::stderr(),
                "downloading {id} from {}",
                models.hub_endpoint
            )?;
        }
        let result = tokio::select! {
            result = show_progress(&download, &bar) => result,
            _ = tokio::signal::ctrl_c() => {
                downloads.stop().await;
                bar.abandon();
                bail!("stopped; the downloaded part is kept, the same command resumes the download");
            }
        };
        bar.finish_and_clear();
        result.with_context(|| format!("cannot download {id}"))?;
        let model = self.find(name)?;
        writeln!(out, "{id} is on disk, {}", HumanBytes(model.size_bytes))?;
        Ok(())
    }

    async fn remove(&self, name: &str) -> anyhow::Result<()> {
        if let Some(model) = self.speaker_model(name)? {
            let id = model.id.clone();
            let result = self.catalog.delete_speaker_model(model).await;
            result.with_context(|| format!("cannot remove {id}"))?;
            writeln!(io::stdout(), "{id} is removed")?;
            return Ok(());
        }
        let model = self.find(name)?;
        let id = model.id.clone();
        let result = self.catalog.delete(model).await;
        result.with_context(|| format!("cannot remove {id}"))?;
        writeln!(io::stdout(), "{id} is removed")?;
        Ok(())
    }

    fn find(&self, name: &str) -> anyhow::Result<Arc<StoredModel>> {
        let id = self.resolve(name)?;
        self.catalog.find(&id).with_context(|| {
            format!("{id} is not on disk; `halkspeech models list` shows the models that are")
        })
    }

    fn resolve(&self, name: &str) -> anyhow::Result<ModelId> {
        let id = self.aliases.resolve(name, &*self.catalog);
        id.with_context(|| format!("{name:?} cannot name a model"))
    }

    fn is_on_disk(&self, id: &ModelId) -> bool {
        self.catalog.find(id).is_some() || self.catalog.find_speaker_model(id).is_some()
    }

    /// The networks of speaker diarization, if this is their name.
    fn speaker_model(&self, name: &str) -> anyhow::Result<Option<Arc<StoredSpeakerModel>>> {
        let id = self.resolve(name)?;
        Ok(self.catalog.find_speaker_model(&id))
    }
}

/// Updates the bar until the download ends.
async fn show_progress(download: &Download, bar: &ProgressBar) -> anyhow::Result<()> {
    let mut progress = download.progress();
    let update_bar = async {
        while progress.changed().await.is_ok() {
            let progress = progress.borrow_and_update();
            bar.set_length(progress.total_bytes);
            bar.set_position(progress.bytes);
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        result = download.finished() => {
            result?;
            Ok(())
        }
        () = update_bar => Ok(()),
    }
}

fn languages(model: &StoredModel) -> String {
    match &*model.languages {
        [language] => language.clone(),
        languages => format!("{} languages", languages.len()),
    }
}
