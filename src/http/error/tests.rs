//! Statuses and texts of errors.

use std::io;

use axum::body::to_bytes;
use rustix::io::Errno;

use super::*;
use crate::queue::{Retry, TooLate};
use halkspeech_audio::AudioError;

#[test]
fn a_full_disk_has_its_own_status() {
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
            let description = error.describe();
            assert_eq!(
                description.status,
                StatusCode::INSUFFICIENT_STORAGE,
                "{error}"
            );
            assert_eq!(description.code, Some("insufficient_storage"), "{error}");
            assert!(description.retry_after.is_some(), "{error}");
        }
    }
    let denied = io::ErrorKind::PermissionDenied;
    for error in [download(denied), upload(denied)] {
        assert_eq!(error.describe().status, StatusCode::INTERNAL_SERVER_ERROR);
    }
}

#[test]
fn a_lack_of_descriptors_or_memory_is_a_503_with_a_retry_time() {
    for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
        let exhausted = || io::Error::from_raw_os_error(errno.raw_os_error());
        for error in [
            ApiError::Spool(exhausted()),
            ApiError::Transcribe(AudioError::Read(exhausted()).into()),
            ApiError::Transcribe(AudioError::Ffmpeg(exhausted()).into()),
        ] {
            let description = error.describe();
            assert_eq!(
                description.status,
                StatusCode::SERVICE_UNAVAILABLE,
                "{error}"
            );
            assert!(description.retry_after.is_some(), "{error}");
        }
    }
}

#[test]
fn a_request_that_would_be_late_is_a_429_with_its_own_retry_time() {
    let after = Duration::from_secs(90);
    let late = TooLate {
        estimate: Duration::from_secs(700),
        retry: Retry {
            after,
            ticket: None,
        },
    };
    let error = ApiError::Overloaded {
        source: late.into(),
        wait: after,
    };
    let description = error.describe();
    assert_eq!(description.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(description.retry_after, Some(after));
    assert!(
        description.message.contains("700 seconds"),
        "{}",
        description.message
    );
}

#[tokio::test]
async fn a_server_error_shows_the_request_id_and_not_the_cause() {
    for error in [
        ApiError::Panicked("secret".to_owned()),
        ApiError::Spool(io::Error::other("secret")),
    ] {
        let request_id = RequestId("id-1".to_owned());
        let response = request_id.scope(async { error.into_response() }).await;

        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = to_bytes(response.into_body(), 10_000).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(text.contains("id-1") && !text.contains("secret"), "{text}");
    }
}
