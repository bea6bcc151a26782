//! One file's way from the hub into the cache: goes on where it broke off, checks what has come.

use futures_util::StreamExt;
use hf_hub::HFRepository;
use hf_hub::repository::RepoTypeModel;
use tokio::time::timeout;

use super::cache::CachedRepository;
use super::error::{HubRequest, HubFault, HubError};
use super::listing::RemoteFile;
use super::partial::PartialFile;
use super::byte_counter::ByteCounter;

/// How often in a row the hub may break off without having sent anything.
const ATTEMPTS: u32 = 5;
/// Bytes that are gathered before they are written and hashed.
const PIECE: usize = 256 << 10;
/// Answers before the first byte of a file: its metadata and its contents, both with a redirect.
const ANSWERS: u32 = 4;

/// Where files come from, and where they go.
pub(super) struct Transfer<'a> {
    /// The repository.
    pub repository: &'a HFRepository<RepoTypeModel>,
    /// The commit whose files are fetched.
    pub commit: &'a str,
    /// To read refusals.
    pub asked: HubRequest<'a>,
    /// The repository's part of the cache.
    pub cached: &'a CachedRepository,
}

impl Transfer<'_> {
    /// Fetches what is missing of the file.
    pub async fn fetch(&self, file: &RemoteFile, byte_counter: &mut ByteCounter<'_>) -> Result<(), HubError> {
        let lock = self.cached.lock(file).await?;
        // Whoever held the lock may have fetched it.
        let (cached, settled) = (self.cached.clone(), file.clone());
        if super::blocking(move || cached.settle(&settled)).await? {
            byte_counter.has(file, file.size);
            return Ok(());
        }
        let mut partial = PartialFile::open(self.cached.partial(file), lock, file.clone()).await?;
        byte_counter.has(file, partial.len());
        let mut anew = false;
        loop {
            match self.complete(file, &mut partial, byte_counter).await {
                Ok(()) => return partial.finish(self.cached.blob(file)).await,
                // What was here before, or a server that knows no ranges, may be to blame: once
                // more from the start, in one piece.
                Err(HubError::Corrupt { problem, .. }) if partial.is_joined() && !anew => {
                    anew = true;
                    let file_name = file.name;
                    tracing::info!(file_name, problem, "beginning the file anew");
                    partial.restart().await?;
                    byte_counter.has(file, 0);
                }
                Err(error @ HubError::Corrupt { .. }) => {
                    partial.discard().await?;
                    byte_counter.has(file, 0);
                    return Err(error);
                }
                // What has come stays for the next time.
                Err(error) => return Err(error),
            }
        }
    }

    /// Fetches to the end and compares.
    async fn complete(
        &self,
        file: &RemoteFile,
        partial: &mut PartialFile,
        byte_counter: &mut ByteCounter<'_>,
    ) -> Result<(), HubError> {
        let mut in_vain = 0;
        while partial.len() < file.size {
            let before = partial.len();
            let ended = self.receive(file, partial, byte_counter).await;
            let error = match ended {
                Err(error) if !error.is_passing() => return Err(error),
                _ if partial.len() == file.size => break,
                Err(error) => error,
                Ok(()) => HubFault::EndedEarly.into(),
            };
            in_vain = if partial.len() > before {
                0
            } else {
                in_vain + 1
            };
            if in_vain == ATTEMPTS {
                return Err(error);
            }
            tracing::debug!(file = file.name, bytes = partial.len(), %error, "going on");
            let doublings = in_vain.saturating_sub(1);
            tokio::time::sleep(self.asked.back_off() * 2_u32.pow(doublings)).await;
        }
        partial.check().await
    }

    /// Takes one answer, as long as it lasts.
    async fn receive(
        &self,
        file: &RemoteFile,
        partial: &mut PartialFile,
        byte_counter: &mut ByteCounter<'_>,
    ) -> Result<(), HubError> {
        let start = partial.go_on();
        let request = self
            .repository
            .download_file_stream()
            .filename(file.name)
            .revision(self.commit)
            .maybe_range((start > 0).then_some(start..file.size));
        // The HTTP client bounds silence by itself; xet, which may be behind this, does not.
        let silence = self.asked.silence;
        let opened = timeout(silence * ANSWERS, request.send()).await;
        let opened = opened.map_err(|_| self.asked.stalled())?;
        let (length, mut bytes) = opened.map_err(|error| self.asked.failed(error))?;
        // A server that knows no ranges sends the whole file: what is here already is passed over.
        let mut pass_over = match length {
            Some(length) if length == file.size => start,
            _ => 0,
        };
        let mut piece = Vec::with_capacity(PIECE);
        let ended = loop {
            let chunk = match timeout(silence, bytes.next()).await {
                Ok(Some(Ok(chunk))) => chunk,
                Ok(Some(Err(error))) => break Err(self.asked.failed(error)),
                Ok(None) => break Ok(()),
                Err(_) => break Err(self.asked.stalled()),
            };
            byte_counter.received(chunk.len() as u64);
            let passed_over = pass_over.min(chunk.len() as u64);
            pass_over -= passed_over;
            let chunk = &chunk[passed_over as usize..];
            let room = file.size - partial.len() - piece.len() as u64;
            if chunk.len() as u64 > room {
                return Err(HubError::Corrupt {
                    file: file.name.to_owned(),
                    problem: format!("it is longer than {} bytes", file.size),
                });
            }
            piece.extend_from_slice(chunk);
            if piece.len() >= PIECE {
                let full = std::mem::replace(&mut piece, Vec::with_capacity(PIECE));
                partial.append(full).await?;
                byte_counter.has(file, partial.len());
            }
        };
        // However it ended, what has come is kept.
        partial.append(piece).await?;
        byte_counter.has(file, partial.len());
        ended
    }
}
