//! Reads and writes events: a line of JSON, then as many bytes of data and of payload as it says.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::error::ConnectionError;

/// The version of the protocol's Python package whose events these are.
const PROTOCOL_VERSION: &str = "1.10.2";
/// Longest line, and longest data behind it, in bytes.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// Longest payload, in bytes: 32 s of samples.
const MAX_PAYLOAD_BYTES: usize = 1024 * 1024;
/// Longest time without a byte from the client.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest time until the client has taken an event.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// An event of a client.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WireEvent {
    /// Its type.
    pub kind: String,
    /// Its fields.
    pub data: Map<String, Value>,
    /// Its bytes, such as samples.
    pub payload: Vec<u8>,
}

/// Reads the events of a connection.
struct EventReader<R> {
    input: BufReader<R>,
}

/// Sends the events of `input`, and at last an error if there is one. The channel bounds the events that wait for
/// their session.
pub async fn read_events<R: AsyncRead + Unpin>(
    input: R,
    events: mpsc::Sender<Result<WireEvent, ConnectionError>>,
) {
    let mut reader = EventReader {
        input: BufReader::new(input),
    };
    loop {
        let event = reader.next().await;
        let is_last = event.is_err();
        let Some(event) = event.transpose() else {
            return;
        };
        if events.send(event).await.is_err() || is_last {
            return;
        }
    }
}

/// Writes an event.
///
/// # Errors
/// [`ConnectionError::Gone`].
pub async fn write_event<W: AsyncWrite + Unpin>(
    output: &mut W,
    kind: &str,
    data: &Value,
) -> Result<(), ConnectionError> {
    let data = if data.is_null() {
        String::new()
    } else {
        data.to_string()
    };
    let mut header = json!({ "type": kind, "version": PROTOCOL_VERSION });
    if !data.is_empty() {
        // Not in the line itself: clients read lines of 64 KiB at most.
        header["data_length"] = data.len().into();
    }
    let bytes = format!("{header}\n{data}");
    let writing = async {
        output.write_all(bytes.as_bytes()).await?;
        output.flush().await
    };
    match timeout(WRITE_TIMEOUT, writing).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(ConnectionError::Gone),
    }
}

impl<R: AsyncRead + Unpin> EventReader<R> {
    /// The next event; `None` at the end.
    async fn next(&mut self) -> Result<Option<WireEvent>, ConnectionError> {
        let Some(line) = self.line().await? else {
            return Ok(None);
        };
        let header = object(&line)?;
        let Some(kind) = header.get("type").and_then(Value::as_str) else {
            return Err(ConnectionError::NotAnEvent("it has no type".to_owned()));
        };
        let kind = kind.to_owned();
        let length = |name: &str| header.get(name).and_then(Value::as_u64).unwrap_or_default();
        let (data_length, payload_length) = (length("data_length"), length("payload_length"));
        let mut data = match header.get("data") {
            Some(Value::Object(data)) => data.clone(),
            _ => Map::new(),
        };
        if data_length > 0 {
            let bytes = self
                .bytes(data_length, "the data", MAX_HEADER_BYTES)
                .await?;
            data.extend(object(&bytes)?);
        }
        let payload = self
            .bytes(payload_length, "the payload", MAX_PAYLOAD_BYTES)
            .await?;
        Ok(Some(WireEvent {
            kind,
            data,
            payload,
        }))
    }

    async fn line(&mut self) -> Result<Option<Vec<u8>>, ConnectionError> {
        let mut line = Vec::new();
        loop {
            let filling = timeout(IDLE_TIMEOUT, self.input.fill_buf()).await;
            let bytes = filling
                .map_err(|_| idle())?
                .map_err(|_| ConnectionError::Gone)?;
            if bytes.is_empty() {
                return if line.is_empty() {
                    Ok(None)
                } else {
                    Err(ConnectionError::Gone)
                };
            }
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let length = end.unwrap_or(bytes.len());
            if line.len() + length > MAX_HEADER_BYTES {
                return Err(ConnectionError::TooLong {
                    part: "the line",
                    limit: MAX_HEADER_BYTES,
                });
            }
            line.extend_from_slice(&bytes[..length]);
            self.input.consume(length + usize::from(end.is_some()));
            if end.is_some() {
                return Ok(Some(line));
            }
        }
    }

    async fn bytes(
        &mut self,
        length: u64,
        part: &'static str,
        limit: usize,
    ) -> Result<Vec<u8>, ConnectionError> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > limit {
            return Err(ConnectionError::TooLong { part, limit });
        }
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            let reading = timeout(IDLE_TIMEOUT, self.input.read(&mut bytes[filled..])).await;
            match reading.map_err(|_| idle())? {
                Ok(0) | Err(_) => return Err(ConnectionError::Gone),
                Ok(count) => filled += count,
            }
        }
        Ok(bytes)
    }
}

fn idle() -> ConnectionError {
    ConnectionError::Idle(IDLE_TIMEOUT.as_secs())
}

fn object(bytes: &[u8]) -> Result<Map<String, Value>, ConnectionError> {
    serde_json::from_slice(bytes).map_err(|error| ConnectionError::NotAnEvent(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The events of `input`, and why there are no more.
    async fn events(input: &[u8]) -> (Vec<WireEvent>, Option<String>) {
        let (sender, mut receiver) = mpsc::channel::<Result<WireEvent, ConnectionError>>(1);
        let mut events = Vec::new();
        let mut error = None;
        let receiving = async {
            while let Some(event) = receiver.recv().await {
                match event {
                    Ok(event) => events.push(event),
                    Err(last) => error = Some(last.to_string()),
                }
            }
        };
        tokio::join!(read_events(input, sender), receiving);
        (events, error)
    }

    #[tokio::test]
    async fn reads_the_three_parts_of_an_event() {
        let input = b"{\"type\": \"a\", \"data\": {\"x\": 1, \"y\": 2}, \"data_length\": 8, \"payload_length\": 3}\n{\"y\": 3}\n\n\n{\"type\":\"b\",\"payload_length\":null}\n";
        let (events, error) = events(input).await;
        assert_eq!(error, None);
        let [a, b] = &events[..] else {
            panic!("{events:?}");
        };
        assert_eq!((a.kind.as_str(), &a.payload[..]), ("a", &b"\n\n\n"[..]));
        assert_eq!(Value::Object(a.data.clone()), json!({"x": 1, "y": 3}));
        assert_eq!(
            (b.kind.as_str(), b.data.len(), b.payload.len()),
            ("b", 0, 0)
        );
    }

    #[tokio::test]
    async fn refuses_what_is_no_event_or_too_long() {
        let long = vec![b'x'; MAX_HEADER_BYTES + 1];
        for (input, expected) in [
            (
                &b"POST / HTTP/1.1\r\n\r\n{\"type\":\"describe\"}\n"[..],
                "not an event",
            ),
            (b"[]\n", "not an event"),
            (b"{}\n", "it has no type"),
            (b"{\"type\":\"a\",\"data_length\":2}\n[]", "not an event"),
            (&long, "the line of an event is longer"),
            (
                b"{\"type\":\"a\",\"data_length\":65537}\n",
                "the data of an event is longer",
            ),
            (
                b"{\"type\":\"a\",\"payload_length\":1048577}\n",
                "the payload of an event is longer",
            ),
            (b"{\"type\":\"a\",\"payload_length\":2}\nx", "broken"),
            (b"{\"type\":\"a\"}", "broken"),
        ] {
            let (events, error) = events(input).await;
            assert_eq!(events.len(), 0, "{events:?}");
            let error = error.unwrap();
            assert!(error.contains(expected), "no {expected:?} in {error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_client_is_left() {
        let (client, server) = tokio::io::duplex(64);
        let (sender, mut receiver) = mpsc::channel::<Result<WireEvent, ConnectionError>>(1);
        let reading = read_events(server, sender);
        let (event, ()) = tokio::join!(receiver.recv(), reading);
        assert!(
            matches!(event, Some(Err(ConnectionError::Idle(60)))),
            "{event:?}"
        );
        drop(client);
    }

    #[tokio::test]
    async fn writes_data_behind_the_line() {
        let mut output = Vec::new();
        write_event(&mut output, "pong", &json!({"text": "ş"}))
            .await
            .unwrap();
        write_event(&mut output, "transcript-stop", &Value::Null)
            .await
            .unwrap();
        let (events, error) = events(&output).await;
        assert_eq!(error, None);
        assert_eq!(Value::Object(events[0].data.clone()), json!({"text": "ş"}));
        assert_eq!(events[1].kind, "transcript-stop");
        let line = output.split(|byte| *byte == b'\n').next().unwrap();
        let header: Value = serde_json::from_slice(line).unwrap();
        let expected = json!({"type": "pong", "version": "1.10.2", "data_length": 13});
        assert_eq!(header, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_is_left() {
        let (_client, mut server) = tokio::io::duplex(8);
        let written = write_event(&mut server, "info", &Value::Null).await;
        assert!(matches!(written, Err(ConnectionError::Gone)));
    }
}
