//! The status and the texts of errors.

use std::io;

use axum::body::to_bytes;
use rustix::io::Errno;

use super::*;
use crate::audio::AudioError;

#[test]
fn a_full_disk_is_told_apart_from_other_faults_of_it() {
    let download = |kind: io::ErrorKind| ApiError::Download {
        id: ModelId::parse("owner/name").unwrap(),
        source: Arc::new(HubError::Io {
            path: "/cache".into(),
            source: kind.into(),
        }),
    };
    let upload = |kind: io::ErrorKind| ApiError::Spool(kind.into());
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
        for error in [download(kind), upload(kind)] {
            let said = error.describe();
            assert_eq!(said.status, StatusCode::INSUFFICIENT_STORAGE, "{error}");
            assert_eq!(said.code, Some("insufficient_storage"), "{error}");
            assert!(said.retry_after.is_some(), "{error}");
        }
    }
    let denied = io::ErrorKind::PermissionDenied;
    for error in [download(denied), upload(denied)] {
        assert_eq!(error.describe().status, StatusCode::INTERNAL_SERVER_ERROR);
    }
}

#[test]
fn a_lack_of_descriptors_or_memory_is_a_reason_to_try_again() {
    for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
        let scarce = || io::Error::from_raw_os_error(errno.raw_os_error());
        for error in [
            ApiError::Spool(scarce()),
            ApiError::Transcribe(AudioError::Read(scarce()).into()),
            ApiError::Transcribe(AudioError::Ffmpeg(scarce()).into()),
        ] {
            let said = error.describe();
            assert_eq!(said.status, StatusCode::SERVICE_UNAVAILABLE, "{error}");
            assert!(said.retry_after.is_some(), "{error}");
        }
    }
}

#[tokio::test]
async fn a_server_error_shows_its_id_and_not_its_cause() {
    for error in [
        ApiError::Panicked("secret".to_owned()),
        ApiError::Spool(io::Error::other("secret")),
    ] {
        let response = write_error_body(error.into_response(), "id-1");

        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = to_bytes(response.into_body(), 10_000).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(text.contains("id-1") && !text.contains("secret"), "{text}");
    }
}
