//! Models from the Hugging Face hub: downloaded into a cache that Python's `huggingface_hub` reads.
//!
//! hf-hub speaks to the hub, but writes nothing: its own cache begins broken downloads anew and
//! compares no digests. Here a download goes on where it broke off, every file is compared with
//! its digest, and a model is visible when all of it is there.

mod listing;
mod cache;
mod digest;
mod partial;
mod byte_counter;
mod transfer;
mod error;

use std::path::PathBuf;
use std::time::Duration;

use hf_hub::{HFClient, split_id};

use cache::CachedRepository;
use error::HubRequest;
pub use error::HubError;
use listing::Listing;
pub use byte_counter::DownloadProgress;
use byte_counter::ByteCounter;
use transfer::Transfer;

use super::ModelId;

const USER_AGENT: &str = concat!("halkspeech/", env!("CARGO_PKG_VERSION"));
/// The revision that is meant where none is named.
const DEFAULT_REVISION: &str = "main";
/// A token that no header can hold, so that none is sent.
const NO_TOKEN: &str = "\n";
/// How often the hub is asked for a listing while it fails.
const ATTEMPTS: u32 = 3;

/// Which hub, as whom, and where to.
#[derive(Clone)]
pub struct HubSettings {
    /// The hub's address, or that of a mirror.
    pub endpoint: String,
    /// The token to ask with.
    pub token: Option<String>,
    /// The folder that `huggingface_hub` calls its cache.
    pub cache: PathBuf,
    /// The hub is never asked.
    pub offline: bool,
    /// The longest silence of a connection; a broken one is gone on with, so it can be short: 10
    /// to 60 s.
    pub timeout: Duration,
}

/// The way to the hub.
pub struct Hub {
    settings: HubSettings,
    endpoint: reqwest::Url,
    http: reqwest::Client,
    hub: HFClient,
}

/// What a download did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DownloadSummary {
    /// The commit that is here now.
    pub commit: String,
    /// Bytes that came over the network.
    pub bytes: u64,
    /// Bytes that were here before, from an earlier download.
    pub resumed_bytes: u64,
    /// Bytes of all files together.
    pub total_bytes: u64,
}

impl Hub {
    /// Asks nothing yet.
    ///
    /// # Errors
    /// [`HubError::Client`] where the endpoint is no address or TLS cannot be set up.
    pub fn new(mut settings: HubSettings) -> Result<Self, HubError> {
        settings.token = settings.token.filter(|token| !token.is_empty());
        let endpoint = reqwest::Url::parse(&settings.endpoint)
            .map_err(client)
            .and_then(|address| match address.scheme() {
                "http" | "https" => Ok(address),
                _ => Err(client("endpoint is no http or https address")),
            })?;
        let http = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(settings.timeout)
            .read_timeout(settings.timeout)
            .build()
            .map_err(client)?;
        let hub = HFClient::builder()
            .client(http.clone())
            .user_agent(USER_AGENT)
            .endpoint(&settings.endpoint)
            // Left alone, hf-hub would look for a token in the environment and the home folder.
            .token(settings.token.as_deref().unwrap_or(NO_TOKEN))
            .cache_dir(&settings.cache)
            .cache_enabled(false)
            // What is worth trying again is tried again here.
            .retry_max_attempts(0)
            .build()
            .map_err(client)?;
        Ok(Self {
            settings,
            endpoint,
            http,
            hub,
        })
    }

    /// Downloads what is missing of the model; goes on with what an earlier download left. What
    /// has come stays when this is dropped.
    ///
    /// # Errors
    /// [`HubError`]; what has come stays, except what is wrong.
    pub async fn download(
        &self,
        id: &ModelId,
        report: &(dyn Fn(DownloadProgress) + Send + Sync),
    ) -> Result<DownloadSummary, HubError> {
        let asked = self.asked(id);
        if self.settings.offline {
            return Err(HubError::Offline { id: id.clone() });
        }
        if !is_hub_name(id) {
            return Err(HubError::NotFound { id: id.clone() });
        }
        let revision = id.revision().unwrap_or(DEFAULT_REVISION);
        let listing = self.list(asked, revision).await?;

        let cached = CachedRepository::new(&self.settings.cache, id.repository());
        let here = survey(&cached, &listing).await?;
        let mut byte_counter = ByteCounter::new(listing.files.iter().zip(here), report);
        let (total_bytes, resumed_bytes) = (byte_counter.total_bytes(), byte_counter.here());
        tracing::info!(
            model.id = %id,
            model.commit = listing.commit,
            bytes = total_bytes - resumed_bytes,
            resumed_bytes,
            "downloading model"
        );

        let (owner, name) = split_id(id.repository());
        let transfer = Transfer {
            repository: &self.hub.model(owner, name),
            commit: &listing.commit,
            asked,
            cached: &cached,
        };
        for file in &listing.files {
            Box::pin(transfer.fetch(file, &mut byte_counter)).await?;
        }
        let downloaded = DownloadSummary {
            commit: listing.commit.clone(),
            bytes: byte_counter.received_bytes(),
            resumed_bytes,
            total_bytes,
        };
        let revision = revision.to_owned();
        blocking(move || cached.publish(&listing, &revision)).await?;
        Ok(downloaded)
    }

    /// What the repository has to offer.
    async fn list(&self, asked: HubRequest<'_>, revision: &str) -> Result<Listing, HubError> {
        let address = listing::address(&self.endpoint, asked.id, revision)?;
        let mut attempt = 1;
        loop {
            let mut request = self.http.get(address.clone());
            if let Some(token) = &self.settings.token {
                request = request.bearer_auth(token);
            }
            match listing::ask(request, asked).await {
                Err(HubError::Unavailable { .. }) if attempt < ATTEMPTS => attempt += 1,
                listing => return listing,
            }
            tokio::time::sleep(asked.back_off()).await;
        }
    }

    fn asked<'a>(&self, id: &'a ModelId) -> HubRequest<'a> {
        HubRequest {
            id,
            has_token: self.settings.token.is_some(),
            silence: self.settings.timeout,
        }
    }
}

/// How much of each file is here; refuses what the disk has no room for.
async fn survey(cached: &CachedRepository, listing: &Listing) -> Result<Vec<u64>, HubError> {
    let (cached, files) = (cached.clone(), listing.files.clone());
    blocking(move || {
        cached.prepare()?;
        let here: Vec<u64> = files.iter().map(|file| cached.has(file)).collect();
        let total: u64 = files.iter().map(|file| file.size).sum();
        cached.check_space(total - here.iter().sum::<u64>())?;
        Ok(here)
    })
    .await
}

/// Whether a repository can have this name: in the cache `--` stands for the slash, and the hub
/// takes no two dots in a row.
fn is_hub_name(id: &ModelId) -> bool {
    !id.repository().contains("--") && !id.repository().contains("..")
}

/// Runs what reads or writes the disk. It runs to its end when the caller leaves, which is soon.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, HubError> + Send + 'static,
) -> Result<T, HubError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_shutting_down) => Err(HubError::Stopped),
        },
    }
}

fn client(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> HubError {
    HubError::Client {
        source: source.into(),
    }
}
