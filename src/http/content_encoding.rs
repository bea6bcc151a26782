//! Decodes bodies that a client or a proxy compressed (`Content-Encoding`), within the limit of uploads.

use std::io::{self, Write};

use axum::body::Bytes;
use axum::http::{HeaderMap, header};
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use futures_util::stream::{self, Stream, StreamExt};

use super::body::BodyError;
use super::error::ApiError;

/// Bytes that are decoded at a time: they become a thousand times as many at most, which is what is in
/// memory before the limit is looked at.
const STEP_BYTES: usize = 1024;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentEncoding {
    /// As gzip writes files (RFC 1952).
    Gzip,
    /// In the format of zlib (RFC 1950), or as some clients misread that, without its frame (RFC 1951).
    Deflate,
}

/// A body on its way through its decoder.
struct Decoding<S> {
    chunks: S,
    /// What came and is not decoded yet.
    coming: Bytes,
    /// None before the first byte, which tells the two forms of `deflate` apart.
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
    /// The encoding that the headers name; none for a body as it is.
    ///
    /// # Errors
    /// [`ApiError::UnknownEncoding`] for any other, and for one encoding within another.
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

    /// The chunks decoded, ending with an error as soon as they are more than `limit` bytes.
    pub fn decode(
        self,
        chunks: impl Stream<Item = Result<Bytes, BodyError>> + Send + Unpin,
        limit: u64,
    ) -> impl Stream<Item = Result<Bytes, BodyError>> + Send {
        let decoding = Decoding {
            chunks,
            coming: Bytes::new(),
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
    }

    fn decoder(self, first: u8) -> Decoder {
        // The low half of zlib's first byte names its method, of which there is one.
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

impl<S: Stream<Item = Result<Bytes, BodyError>> + Send + Unpin> Decoding<S> {
    /// The next decoded bytes, which may be none yet; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        if self.is_over {
            return Ok(None);
        }
        if self.coming.is_empty() {
            match self.chunks.next().await {
                Some(chunk) => self.coming = chunk?,
                None => self.is_over = true,
            }
        } else {
            // A client that sends much at once does not keep others waiting for this thread.
            tokio::task::yield_now().await;
        }
        let step = self.coming.split_to(STEP_BYTES.min(self.coming.len()));
        let decoded = self.step(&step).map_err(BodyError::Encoding)?;
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

    /// What is left, once all has come.
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
