//! The events of a model's download.

use serde::Serialize;
use utoipa::ToSchema;

use super::model_object::ModelObject;

/// An event of a model download.
#[derive(Serialize, ToSchema)]
#[serde(tag = "type")]
#[schema(as = DownloadProgress)]
pub enum DownloadProgressEvent {
    /// Progress of the download.
    #[serde(rename = "model.download.progress")]
    Progress {
        /// The model.
        id: String,
        /// The file that is being downloaded.
        file: String,
        /// Bytes received, of all files.
        bytes: u64,
        /// Total bytes of all files.
        total: u64,
    },
    /// The download is complete.
    #[serde(rename = "model.download.done")]
    Done {
        /// The model.
        model: Box<ModelObject>,
    },
}
