//! Raw requests that HTTP clients would not send.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{TRANSCRIPTIONS, TestApp};

/// Opens a connection and sends the head of a transcription request with these header lines.
pub async fn begin(app: &TestApp, query: &str, headers: &[&str]) -> TcpStream {
    begin_at(app, &format!("{TRANSCRIPTIONS}{query}"), headers).await
}

/// The same with another path.
pub async fn begin_at(app: &TestApp, path: &str, headers: &[&str]) -> TcpStream {
    let mut connection = TcpStream::connect(&app.address).await.unwrap();
    let lines = headers
        .iter()
        .map(|line| format!("{line}\r\n"))
        .collect::<String>();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {}\r\n{lines}\r\n",
        app.address
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    connection
}

/// Reads until the received text ends with `end`, and returns it.
pub async fn read_until(connection: &mut TcpStream, end: &str) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(end.as_bytes()) {
        answer.push(connection.read_u8().await.unwrap());
    }
    String::from_utf8(answer).unwrap()
}
