//! Counts the bytes of a download.

use super::listing::RemoteFile;

/// Progress of a download.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DownloadProgress {
    /// The file being downloaded.
    pub file: String,
    /// Bytes of all files that are on disk, including those of an earlier download. May decrease:
    /// corrupt data is deleted.
    pub bytes: u64,
    /// Bytes of all files; 0 until the listing is known.
    pub total_bytes: u64,
}

/// Counts the bytes of one download and reports them.
pub(super) struct ByteCounter<'a> {
    report: &'a (dyn Fn(DownloadProgress) + Send + Sync),
    /// Files, and the bytes of each that are on disk.
    files: Vec<(&'static str, u64)>,
    total_bytes: u64,
    received: u64,
}

impl<'a> ByteCounter<'a> {
    /// `files` with the bytes of each that are on disk before the download begins.
    pub fn new<'f>(
        files: impl IntoIterator<Item = (&'f RemoteFile, u64)>,
        report: &'a (dyn Fn(DownloadProgress) + Send + Sync),
    ) -> Self {
        let mut total_bytes = 0;
        let files = files.into_iter().map(|(file, on_disk)| {
            total_bytes += file.size;
            (file.name, on_disk)
        });
        Self {
            report,
            files: files.collect(),
            total_bytes,
            received: 0,
        }
    }

    /// Sets the bytes of this file that are on disk, and reports the progress.
    pub fn set_bytes(&mut self, file: &RemoteFile, on_disk: u64) {
        let entry = self.files.iter_mut().find(|(name, _)| *name == file.name);
        if let Some((_, bytes)) = entry {
            *bytes = on_disk;
        }
        (self.report)(DownloadProgress {
            file: file.name.to_owned(),
            bytes: self.bytes_on_disk(),
            total_bytes: self.total_bytes,
        });
    }

    /// Adds bytes received over the network.
    pub fn add_received(&mut self, bytes: u64) {
        self.received += bytes;
    }

    /// Bytes of all files that are on disk.
    pub fn bytes_on_disk(&self) -> u64 {
        self.files.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Bytes of all files.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Bytes received over the network.
    pub fn received_bytes(&self) -> u64 {
        self.received
    }
}
