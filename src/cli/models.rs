//! The models on disk, at the command line.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use indicatif::{HumanBytes, ProgressBar};

use super::{CommonFlags, bar, printed};
use crate::app::{startup_warnings, services};
use crate::config::LoadedSettings;
use crate::models::{Aliases, Catalog, Download, ModelId, StoredModel};
use crate::telemetry::{Metrics, logging, traces::Tracing};

/// What `models` takes.
#[derive(Clone, Debug, Args)]
pub struct ModelsFlags {
    /// What is to be done with them
    #[command(subcommand)]
    pub action: Action,
    #[command(flatten)]
    pub(super) common: CommonFlags,
}

/// What is to be done with the models on disk.
#[derive(Clone, Debug, Subcommand)]
pub enum Action {
    /// List the models on disk
    List,
    /// Download a model from the Hugging Face hub; one that is here stays as it is
    Pull {
        /// `owner/name`, with `@revision` where one is meant, or a short name such as large-v3-turbo
        id: String,
    },
    /// Remove a model's files
    Rm {
        /// The model, as `models list` names it
        id: String,
    },
    /// Show what is known of a model
    Show {
        /// The model, as `models list` names it
        id: String,
    },
}

/// What all actions need.
struct Here {
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
        let here = Here {
            catalog: services::open_catalog(&loaded.settings.models).await?,
            aliases: services::aliases(&loaded)?,
            loaded,
        };
        match flags.action {
            Action::List => here.list(),
            Action::Pull { id } => here.pull(&id).await,
            Action::Rm { id } => here.remove(&id).await,
            Action::Show { id } => here.show(&id),
        }
    })
}

impl Here {
    fn list(&self) -> anyhow::Result<()> {
        if let Some(startup_warnings) = startup_warnings::models_dir_warning(&self.loaded, &self.catalog) {
            writeln!(io::stderr(), "warning: {}", printed::lines(&startup_warnings))?;
        }
        let models = self.catalog.list();
        let rows = models.iter().map(|model| {
            [
                model.id.to_string(),
                model.shape.family(),
                HumanBytes(model.size_bytes).to_string(),
                model.shape.stored_type.as_str().to_owned(),
                languages(model),
            ]
        });
        let head = ["MODEL", "FAMILY", "SIZE", "TYPE", "LANGUAGES"].map(str::to_owned);
        let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
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
        let model = self.find(name)?;
        let shape = &model.shape;
        let lines = [
            ("model", model.id.to_string()),
            ("family", shape.family()),
            ("folder", printed::path(&model.dir)),
            ("size", HumanBytes(model.size_bytes).to_string()),
            ("type", shape.stored_type.as_str().to_owned()),
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
        if self.is_here(&id) {
            writeln!(out, "{id} is here already")?;
            return Ok(());
        }
        let models = &self.loaded.settings.models;
        let downloads = services::downloads(models, &self.catalog, &Metrics::new())?;
        let download = downloads.start(&id);
        let bar = bar::of_bytes(0);
        bar.set_message(id.to_string());
        if !io::stderr().is_terminal() {
            writeln!(
                io::stderr(),
                "downloading {id} from {}",
                models.hub_endpoint
            )?;
        }
        let ended = tokio::select! {
            ended = follow(&download, &bar) => ended,
            _ = tokio::signal::ctrl_c() => {
                downloads.stop().await;
                bar.abandon();
                bail!("stopped; what has come is kept, the same command goes on from there");
            }
        };
        bar.finish_and_clear();
        ended.with_context(|| format!("cannot download {id}"))?;
        let model = self.find(name)?;
        writeln!(out, "{id} is here, {}", HumanBytes(model.size_bytes))?;
        Ok(())
    }

    async fn remove(&self, name: &str) -> anyhow::Result<()> {
        let model = self.find(name)?;
        let id = model.id.clone();
        let removing = self.catalog.delete(model).await;
        removing.with_context(|| format!("cannot remove {id}"))?;
        writeln!(io::stdout(), "{id} is removed")?;
        Ok(())
    }

    fn find(&self, name: &str) -> anyhow::Result<Arc<StoredModel>> {
        let id = self.resolve(name)?;
        self.catalog.find(&id).with_context(|| {
            format!("{id} is not on this machine; `halkspeech models list` shows what is")
        })
    }

    fn resolve(&self, name: &str) -> anyhow::Result<ModelId> {
        let id = self.aliases.resolve(name, &*self.catalog);
        id.with_context(|| format!("{name:?} cannot name a model"))
    }

    fn is_here(&self, id: &ModelId) -> bool {
        self.catalog.find(id).is_some()
    }
}

/// Moves the bar along until the download is over.
async fn follow(download: &Download, bar: &ProgressBar) -> anyhow::Result<()> {
    let mut progress = download.progress();
    let moving = async {
        while progress.changed().await.is_ok() {
            let progress = progress.borrow_and_update();
            bar.set_length(progress.total_bytes);
            bar.set_position(progress.bytes);
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = download.finished() => {
            ended?;
            Ok(())
        }
        () = moving => Ok(()),
    }
}

fn languages(model: &StoredModel) -> String {
    match &*model.languages {
        [only] => only.clone(),
        several => format!("{} languages", several.len()),
    }
}
