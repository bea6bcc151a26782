//! Downloads models from the Hugging Face hub into a cache that Python's `huggingface_hub` reads.
//!
//! hf-hub makes the requests but writes no files: its own cache restarts interrupted downloads and does
//! not check digests. Here a download resumes, every file's digest is checked, and a model becomes
//! visible when it is complete.

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

use byte_counter::ByteCounter;
pub use byte_counter::DownloadProgress;
use cache::CachedRepository;
pub use error::HubError;
use error::RequestContext;
use listing::Listing;
use transfer::Transfer;

use super::ModelId;

const USER_AGENT: &str = concat!("halkspeech/", env!("CARGO_PKG_VERSION"));
/// The revision of a name without one.
const DEFAULT_REVISION: &str = "main";
/// A token that is invalid in a header, so that none is sent.
const NO_TOKEN: &str = "\n";
/// Attempts to fetch a listing.
const ATTEMPTS: u32 = 3;

/// Address, credentials and cache of the hub.
#[derive(Clone)]
pub struct HubSettings {
    /// The hub's address, or that of a mirror.
    pub endpoint: String,
    /// The access token.
    pub token: Option<String>,
    /// The cache folder of `huggingface_hub`.
    pub cache: PathBuf,
    /// Disables all requests to the hub.
    pub offline: bool,
    /// Timeout for connecting and between two reads. An interrupted transfer resumes, so it can be
    /// short: 10 to 60 s.
    pub timeout: Duration,
}

/// A client for the hub that downloads models into the cache.
pub struct Hub {
    settings: HubSettings,
    endpoint: reqwest::Url,
    http: reqwest::Client,
    hub: HFClient,
}

/// The result of a download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DownloadSummary {
    /// The downloaded commit.
    pub commit: String,
    /// Bytes received over the network.
    pub bytes: u64,
    /// Bytes that were on disk before, from an earlier download.
    pub resumed_bytes: u64,
    /// Bytes of all files together.
    pub total_bytes: u64,
}

impl Hub {
    /// Makes the client; sends no request.
    ///
    /// # Errors
    /// [`HubError::Client`] if the endpoint is not a valid address or TLS cannot be set up.
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
            // By default hf-hub looks for a token in the environment and the home folder.
            .token(settings.token.as_deref().unwrap_or(NO_TOKEN))
            .cache_dir(&settings.cache)
            .cache_enabled(false)
            // This client retries by itself.
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

    /// Downloads the missing parts of the model, resuming an earlier download. Received data is kept if
    /// this is dropped.
    ///
    /// # Errors
    /// [`HubError`]; received data is kept, except corrupt files.
    pub async fn download(
        &self,
        id: &ModelId,
        report: &(dyn Fn(DownloadProgress) + Send + Sync),
    ) -> Result<DownloadSummary, HubError> {
        let context = self.request_context(id);
        if self.settings.offline {
            return Err(HubError::Offline { id: id.clone() });
        }
        if !is_hub_name(id) {
            return Err(HubError::NotFound { id: id.clone() });
        }
        let revision = id.revision().unwrap_or(DEFAULT_REVISION);
        let listing = self.list(context, revision).await?;

        let cached = CachedRepository::new(&self.settings.cache, id.repository());
        let bytes_on_disk = prepare_cache(&cached, &listing).await?;
        let mut byte_counter = ByteCounter::new(listing.files.iter().zip(bytes_on_disk), report);
        let (total_bytes, resumed_bytes) =
            (byte_counter.total_bytes(), byte_counter.bytes_on_disk());
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
            context,
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

    /// Fetches the list of the repository's files.
    async fn list(&self, context: RequestContext<'_>, revision: &str) -> Result<Listing, HubError> {
        let address = listing::address(&self.endpoint, context.id, revision)?;
        let mut attempt = 1;
        loop {
            let mut request = self.http.get(address.clone());
            if let Some(token) = &self.settings.token {
                request = request.bearer_auth(token);
            }
            match listing::fetch(request, context).await {
                Err(HubError::Unavailable { .. }) if attempt < ATTEMPTS => attempt += 1,
                listing => return listing,
            }
            tokio::time::sleep(context.retry_delay()).await;
        }
    }

    fn request_context<'a>(&self, id: &'a ModelId) -> RequestContext<'a> {
        RequestContext {
            id,
            has_token: self.settings.token.is_some(),
            timeout: self.settings.timeout,
        }
    }
}

/// Prepares the cache; returns the bytes of each file that are on disk. Fails if the disk has too little
/// space for the others.
async fn prepare_cache(cached: &CachedRepository, listing: &Listing) -> Result<Vec<u64>, HubError> {
    let (cached, files) = (cached.clone(), listing.files.clone());
    blocking(move || {
        cached.prepare()?;
        let on_disk: Vec<u64> = files.iter().map(|file| cached.bytes_of(file)).collect();
        let total: u64 = files.iter().map(|file| file.size).sum();
        cached.check_space(total - on_disk.iter().sum::<u64>())?;
        Ok(on_disk)
    })
    .await
}

/// Whether this can be a repository's name: in the cache `--` stands for the slash, and the hub forbids
/// two consecutive dots.
fn is_hub_name(id: &ModelId) -> bool {
    !id.repository().contains("--") && !id.repository().contains("..")
}

/// Runs blocking disk access on tokio's blocking threads. It runs to its end, briefly, even if the
/// caller is cancelled.
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
