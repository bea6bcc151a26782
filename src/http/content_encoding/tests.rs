//! Compressed bodies are decoded within the limit.

use axum::http::HeaderValue;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

use super::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn raw(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Decodes the bytes in chunks of this size; also returns the size of the largest decoded chunk.
async fn decode(
    encoding: ContentEncoding,
    bytes: &[u8],
    chunk: usize,
    limit: u64,
) -> Result<(Vec<u8>, usize), BodyError> {
    let chunks = bytes
        .chunks(chunk)
        .map(|chunk| Ok(Bytes::copy_from_slice(chunk)));
    let chunks = stream::iter(chunks.collect::<Vec<_>>()).boxed();
    let mut stream = encoding.decode(chunks, limit);
    let (mut all, mut largest) = (Vec::new(), 0);
    while let Some(decoded) = stream.next().await {
        let decoded = decoded?;
        largest = largest.max(decoded.len());
        all.extend_from_slice(&decoded);
    }
    Ok((all, largest))
}

#[tokio::test]
async fn decodes_bodies_in_chunks_of_any_size() {
    let bytes: Vec<u8> = (0..50_000_u32).map(|i| (i * i % 251) as u8).collect();
    for (encoding, compressed) in [
        (ContentEncoding::Gzip, gzip(&bytes)),
        (
            ContentEncoding::Gzip,
            [gzip(&bytes[..9]), gzip(&bytes[9..])].concat(),
        ),
        (ContentEncoding::Deflate, zlib(&bytes)),
        (ContentEncoding::Deflate, raw(&bytes)),
    ] {
        for chunk in [1, 1_000, compressed.len()] {
            let (all, _) = decode(encoding, &compressed, chunk, 50_000).await.unwrap();
            assert_eq!(all, bytes, "{encoding:?} in chunks of {chunk}");
        }
    }
    let (none, _) = decode(ContentEncoding::Gzip, &[], 1, 1).await.unwrap();
    assert_eq!(none, b"");
}

#[tokio::test]
async fn ends_with_an_error_above_the_limit() {
    const LIMIT: u64 = 4 << 20;
    let zeros = vec![0; 64 << 20];
    for (encoding, compressed) in [
        (ContentEncoding::Gzip, gzip(&zeros)),
        (ContentEncoding::Deflate, zlib(&zeros)),
    ] {
        let whole = compressed.len();

        let error = decode(encoding, &compressed, whole, LIMIT)
            .await
            .unwrap_err();

        assert!(
            matches!(error, BodyError::TooLarge { limit: LIMIT }),
            "{error}"
        );
        let (_, largest) = decode(encoding, &compressed, whole, u64::MAX)
            .await
            .unwrap();
        assert!(largest <= 2 << 20, "{largest} bytes at once");
    }
}

#[tokio::test]
async fn refuses_bodies_that_do_not_match_their_encoding() {
    let cut = gzip(b"half of it");
    for (encoding, bytes) in [
        (ContentEncoding::Gzip, &b"RIFF of a bare recording"[..]),
        (ContentEncoding::Gzip, &cut[..cut.len() - 4]),
        (ContentEncoding::Deflate, b"xyz"),
    ] {
        let error = decode(encoding, bytes, 100, 100).await.unwrap_err();
        assert!(
            matches!(error, BodyError::ContentEncoding(_)),
            "{bytes:?}: {error}"
        );
    }
}

#[test]
fn reads_the_header() {
    for (values, expected) in [
        (&[][..], Ok(None)),
        (&["identity"], Ok(None)),
        (&[" GZip "], Ok(Some(ContentEncoding::Gzip))),
        (&["x-gzip"], Ok(Some(ContentEncoding::Gzip))),
        (&["identity", "deflate"], Ok(Some(ContentEncoding::Deflate))),
        (&["br"], Err("encoding br is unknown")),
        (&["gzip", "gzip"], Err("encoding gzip,gzip is unknown")),
    ] {
        let headers = values
            .iter()
            .map(|value| (header::CONTENT_ENCODING, HeaderValue::from_static(value)));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value);
        }
        let read = ContentEncoding::of(&map).map_err(|error| error.to_string());
        assert_eq!(read, expected.map_err(str::to_owned), "{values:?}");
    }
}
