//! Downloads one file from the hub into the cache: resumes it and checks its digest.

use futures_util::StreamExt;
use hf_hub::HFRepository;
use hf_hub::repository::RepoTypeModel;
use tokio::time::timeout;

use super::byte_counter::ByteCounter;
use super::cache::CachedRepository;
use super::error::{HubError, HubFault, RequestContext};
use super::listing::RemoteFile;
use super::partial::PartialFile;

/// Maximum number of consecutive attempts without a new byte.
const ATTEMPTS: u32 = 5;
/// Bytes that are buffered before they are written and hashed.
const BLOCK_BYTES: usize = 256 << 10;
/// Responses before the first byte of a file: its metadata and its contents, both with a redirect.
const RESPONSES_PER_FILE: u32 = 4;

/// The source and the target of a model's files.
pub(super) struct Transfer<'a> {
    /// The repository.
    pub repository: &'a HFRepository<RepoTypeModel>,
    /// The commit whose files are downloaded.
    pub commit: &'a str,
    /// Interprets error responses.
    pub context: RequestContext<'a>,
    /// The repository's folders in the cache.
    pub cached: &'a CachedRepository,
}

impl Transfer<'_> {
    /// Downloads the missing part of the file.
    pub async fn fetch(
        &self,
        file: &RemoteFile,
        byte_counter: &mut ByteCounter<'_>,
    ) -> Result<(), HubError> {
        let lock = self.cached.lock(file).await?;
        // The previous holder of the lock may have downloaded it.
        let (cached, file_to_check) = (self.cached.clone(), file.clone());
        if super::blocking(move || cached.clean_up_if_complete(&file_to_check)).await? {
            byte_counter.set_bytes(file, file.size);
            return Ok(());
        }
        let mut partial = PartialFile::open(self.cached.partial(file), lock, file.clone()).await?;
        byte_counter.set_bytes(file, partial.len());
        let mut was_restarted = false;
        loop {
            match self.complete(file, &mut partial, byte_counter).await {
                Ok(()) => return partial.finish(self.cached.blob(file)).await,
                // The cause may be the earlier part, or a server without ranges: download the file once
                // more from the start.
                Err(HubError::Corrupt { problem, .. }) if partial.is_joined() && !was_restarted => {
                    was_restarted = true;
                    let file_name = file.name;
                    tracing::info!(file_name, problem, "restarting the download of a file");
                    partial.restart().await?;
                    byte_counter.set_bytes(file, 0);
                }
                Err(error @ HubError::Corrupt { .. }) => {
                    partial.discard().await?;
                    byte_counter.set_bytes(file, 0);
                    return Err(error);
                }
                // The partial file is kept for the next download.
                Err(error) => return Err(error),
            }
        }
    }

    /// Downloads up to the file's end and checks its digest.
    async fn complete(
        &self,
        file: &RemoteFile,
        partial: &mut PartialFile,
        byte_counter: &mut ByteCounter<'_>,
    ) -> Result<(), HubError> {
        let mut failed_attempts = 0;
        while partial.len() < file.size {
            let before = partial.len();
            let ended = self.receive(file, partial, byte_counter).await;
            let error = match ended {
                Err(error) if !error.is_transient() => return Err(error),
                _ if partial.len() == file.size => break,
                Err(error) => error,
                Ok(()) => HubFault::EndedEarly.into(),
            };
            failed_attempts = if partial.len() > before {
                0
            } else {
                failed_attempts + 1
            };
            if failed_attempts == ATTEMPTS {
                return Err(error);
            }
            tracing::debug!(file = file.name, bytes = partial.len(), %error, "resuming a file");
            let doublings = failed_attempts.saturating_sub(1);
            tokio::time::sleep(self.context.retry_delay() * 2_u32.pow(doublings)).await;
        }
        partial.check().await
    }

    /// Receives one response up to its end.
    async fn receive(
        &self,
        file: &RemoteFile,
        partial: &mut PartialFile,
        byte_counter: &mut ByteCounter<'_>,
    ) -> Result<(), HubError> {
        let start = partial.resume_offset();
        let request = self
            .repository
            .download_file_stream()
            .filename(file.name)
            .revision(self.commit)
            .maybe_range((start > 0).then_some(start..file.size));
        // The HTTP client has a read timeout; xet, which may serve this request, has none.
        // hf-hub reads the body of an error response whole, of any length; only this timeout bounds it.
        let max_silence = self.context.timeout;
        let response = timeout(max_silence * RESPONSES_PER_FILE, request.send()).await;
        let response = response.map_err(|_| self.context.stalled())?;
        let (length, mut bytes) = response.map_err(|error| self.context.hub_error(error))?;
        // A server without ranges sends the whole file: skip the part that is on disk.
        let mut bytes_to_skip = match length {
            Some(length) if length == file.size => start,
            _ => 0,
        };
        let mut block = Vec::with_capacity(BLOCK_BYTES);
        let ended = loop {
            let chunk = match timeout(max_silence, bytes.next()).await {
                Ok(Some(Ok(chunk))) => chunk,
                Ok(Some(Err(error))) => break Err(self.context.hub_error(error)),
                Ok(None) => break Ok(()),
                Err(_) => break Err(self.context.stalled()),
            };
            byte_counter.add_received(chunk.len() as u64);
            let skipped = bytes_to_skip.min(chunk.len() as u64);
            bytes_to_skip -= skipped;
            let chunk = &chunk[skipped as usize..];
            let missing = file.size - partial.len() - block.len() as u64;
            if chunk.len() as u64 > missing {
                return Err(HubError::Corrupt {
                    file: file.name.to_owned(),
                    problem: format!("it is longer than {} bytes", file.size),
                });
            }
            block.extend_from_slice(chunk);
            if block.len() >= BLOCK_BYTES {
                let full = std::mem::replace(&mut block, Vec::with_capacity(BLOCK_BYTES));
                partial.append(full).await?;
                byte_counter.set_bytes(file, partial.len());
            }
        };
        // Received data is kept even after an error.
        partial.append(block).await?;
        byte_counter.set_bytes(file, partial.len());
        ended
    }
}
