//! Decompresses request bodies (`Content-Encoding`) within the upload limit.

use std::io::{self, Write};

use axum::body::Bytes;
use axum::http::{HeaderMap, header};
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use futures_util::stream::{self, StreamExt};

use super::body::{BodyChunks, BodyError};
use super::error::ApiError;

/// Bytes decoded per step. They expand at most a thousandfold, which is what may be in memory before the
/// limit is checked.
const STEP_BYTES: usize = 1024;

/// Compression format of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentEncoding {
    /// gzip (RFC 1952).
    Gzip,
    /// zlib (RFC 1950), or raw deflate (RFC 1951) as some clients send it.
    Deflate,
}

/// A body that is being decoded.
struct DecodingStream {
    chunks: BodyChunks,
    /// Bytes received and not decoded yet.
    pending: Bytes,
    /// `None` before the first byte, which distinguishes the two formats of `deflate`.
    decoder: Option<Decoder>,
    encoding: ContentEncoding,
    decoded: u64,
    limit: u64,
    is_over: bool,
}

enum Decoder {
    Gzip(MultiGzDecoder<Vec<u8>>),
    Zlib(ZlibDecoder<Vec<u8>>),
    Raw(DeflateDecoder<Vec<u8>>),
}

impl ContentEncoding {
    /// The encoding in the headers; `None` for an uncompressed body.
    ///
    /// # Errors
    /// [`ApiError::UnknownEncoding`] for any other encoding, and for several.
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>, ApiError> {
        let values = headers.get_all(header::CONTENT_ENCODING).iter();
        let values = values.map(|value| String::from_utf8_lossy(value.as_bytes()));
        let all = values.collect::<Vec<_>>().join(",").to_ascii_lowercase();
        let names: Vec<&str> = all
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty() && *name != "identity")
            .collect();
        match names[..] {
            [] => Ok(None),
            ["gzip" | "x-gzip"] => Ok(Some(Self::Gzip)),
            ["deflate"] => Ok(Some(Self::Deflate)),
            _ => Err(ApiError::UnknownEncoding { encoding: all }),
        }
    }

    /// The decoded chunks. The stream ends with an error if they exceed `limit` bytes.
    pub fn decode(self, chunks: BodyChunks, limit: u64) -> BodyChunks {
        let decoding = DecodingStream {
            chunks,
            pending: Bytes::new(),
            decoder: None,
            encoding: self,
            decoded: 0,
            limit,
            is_over: false,
        };
        stream::try_unfold(decoding, |mut decoding| async move {
            let step = decoding.next().await?;
            Ok(step.map(|bytes| (bytes, decoding)))
        })
        .boxed()
    }

    fn decoder(self, first: u8) -> Decoder {
        // The low half of zlib's first byte is the compression method; only one is defined.
        const ZLIB_METHOD: u8 = 8;
        match self {
            Self::Gzip => Decoder::Gzip(MultiGzDecoder::new(Vec::new())),
            Self::Deflate if first & 0x0f == ZLIB_METHOD => {
                Decoder::Zlib(ZlibDecoder::new(Vec::new()))
            }
            Self::Deflate => Decoder::Raw(DeflateDecoder::new(Vec::new())),
        }
    }
}

impl DecodingStream {
    /// The next decoded bytes, possibly empty; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        if self.is_over {
            return Ok(None);
        }
        if self.pending.is_empty() {
            match self.chunks.next().await {
                Some(chunk) => self.pending = chunk?,
                None => self.is_over = true,
            }
        } else {
            // A large chunk must not block the thread for other clients.
            tokio::task::yield_now().await;
        }
        let step = self.pending.split_to(STEP_BYTES.min(self.pending.len()));
        let decoded = self.step(&step).map_err(BodyError::ContentEncoding)?;
        self.decoded += decoded.len() as u64;
        if self.decoded > self.limit {
            return Err(BodyError::TooLarge { limit: self.limit });
        }
        Ok(Some(decoded.into()))
    }

    fn step(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let Some(&first) = bytes.first() else {
            return match &mut self.decoder {
                Some(decoder) if self.is_over => decoder.finish(),
                _ => Ok(Vec::new()),
            };
        };
        let encoding = self.encoding;
        let decoder = self.decoder.get_or_insert_with(|| encoding.decoder(first));
        decoder.write(bytes)
    }
}

impl Decoder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(decoder) => decoder.write_all(bytes)?,
            Self::Zlib(decoder) => decoder.write_all(bytes)?,
            Self::Raw(decoder) => decoder.write_all(bytes)?,
        }
        Ok(self.take())
    }

    /// The remaining output at the end of the input.
    fn finish(&mut self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(decoder) => decoder.try_finish()?,
            Self::Zlib(decoder) => decoder.try_finish()?,
            Self::Raw(decoder) => decoder.try_finish()?,
        }
        Ok(self.take())
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(match self {
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Zlib(decoder) => decoder.get_mut(),
            Self::Raw(decoder) => decoder.get_mut(),
        })
    }
}

#[cfg(test)]
mod tests;
