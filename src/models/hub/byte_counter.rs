//! Counts the bytes of a download.

use super::listing::RemoteFile;

/// How far a download is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DownloadProgress {
    /// The file that is being fetched.
    pub file: String,
    /// Bytes of all files together that are here, those of an earlier download included. They may
    /// grow fewer: what turns out to be wrong is thrown away.
    pub bytes: u64,
    /// Bytes of all files together; 0 until the hub has said it.
    pub total_bytes: u64,
}

/// Counts the bytes of one download and reports them.
pub(super) struct ByteCounter<'a> {
    report: &'a (dyn Fn(DownloadProgress) + Send + Sync),
    /// Files and how much of each is here.
    files: Vec<(&'static str, u64)>,
    total_bytes: u64,
    received: u64,
}

impl<'a> ByteCounter<'a> {
    /// Of these files, so much is here before the download begins.
    pub fn new<'f>(
        files: impl IntoIterator<Item = (&'f RemoteFile, u64)>,
        report: &'a (dyn Fn(DownloadProgress) + Send + Sync),
    ) -> Self {
        let mut total_bytes = 0;
        let files = files.into_iter().map(|(file, here)| {
            total_bytes += file.size;
            (file.name, here)
        });
        Self {
            report,
            files: files.collect(),
            total_bytes,
            received: 0,
        }
    }

    /// So much of this file is here now.
    pub fn has(&mut self, file: &RemoteFile, here: u64) {
        let entry = self.files.iter_mut().find(|(name, _)| *name == file.name);
        if let Some((_, bytes)) = entry {
            *bytes = here;
        }
        (self.report)(DownloadProgress {
            file: file.name.to_owned(),
            bytes: self.here(),
            total_bytes: self.total_bytes,
        });
    }

    /// So many bytes came over the network.
    pub fn received(&mut self, bytes: u64) {
        self.received += bytes;
    }

    /// Bytes that are here.
    pub fn here(&self) -> u64 {
        self.files.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Bytes of all files together.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Bytes that came over the network.
    pub fn received_bytes(&self) -> u64 {
        self.received
    }
}
