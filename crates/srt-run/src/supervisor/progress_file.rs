//! Follows the file into which the benchmark writes its progress, one JSON object per line.
//!
//! The benchmark may run on another node, and the file then comes over a shared file system, which tells nobody of
//! changes made elsewhere. So the file is read at an interval: there is no event to wait for.

use std::{io, time::Duration};

use camino::Utf8PathBuf;
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncSeekExt as _},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;

use super::Message;

/// File name of the benchmark's progress, under the log folder.
pub(super) const NAME: &str = "benchmark.progress.jsonl";

const INTERVAL: Duration = Duration::from_millis(200);

/// At most this much is read at once, and no line may be longer: a line of progress has some hundred bytes.
const CHUNK_BYTES: u64 = 1 << 20;

/// Sends every line until `over`, then what is there at last, and then that this was all.
pub(super) async fn follow(path: Utf8PathBuf, over: CancellationToken, messages: mpsc::Sender<Message>) {
    // What an earlier benchmark of the same run has left is not this one's progress.
    let read_bytes = tokio::fs::metadata(&path).await.map_or(0, |metadata| metadata.len());
    let mut reader = Reader { path, read_bytes, partial: Vec::new() };
    loop {
        // Looked at before reading, so that the last reading comes after the end.
        let is_last = over.is_cancelled();
        // A file that is not there yet, or that cannot be read at the moment, may be read later.
        for progress in reader.read_new().await.unwrap_or_default() {
            if messages.send(Message::Benchmark(progress)).await.is_err() {
                return;
            }
        }
        if is_last {
            break;
        }
        tokio::select! {
            () = over.cancelled() => {}
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
    let _owner_gone = messages.send(Message::BenchmarkProgressEnded).await;
}

struct Reader {
    path: Utf8PathBuf,
    read_bytes: u64,
    partial: Vec<u8>,
}

impl Reader {
    async fn read_new(&mut self) -> io::Result<Vec<serde_json::Value>> {
        let mut file = File::open(&self.path).await?;
        file.seek(io::SeekFrom::Start(self.read_bytes)).await?;
        let mut new = Vec::new();
        file.take(CHUNK_BYTES).read_to_end(&mut new).await?;
        self.read_bytes += new.len() as u64;
        Ok(self.push(&new))
    }

    /// The complete lines, of which those that are no JSON are passed over: the file belongs to another program.
    fn push(&mut self, new: &[u8]) -> Vec<serde_json::Value> {
        self.partial.extend_from_slice(new);
        let Some(end) = self.partial.iter().rposition(|byte| *byte == b'\n') else {
            if self.partial.len() as u64 >= CHUNK_BYTES {
                self.partial.clear();
            }
            return Vec::new();
        };
        let rest = self.partial.split_off(end + 1);
        let complete = std::mem::replace(&mut self.partial, rest);
        complete.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(chunks: &[&str], expected: &[&str]) {
        let mut reader = Reader { path: Utf8PathBuf::new(), read_bytes: 0, partial: Vec::new() };
        let lines: Vec<String> = chunks
            .iter()
            .flat_map(|chunk| reader.push(chunk.as_bytes()))
            .map(|line| line.to_string())
            .collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn lines_come_whole_however_they_were_written() {
        check(&["{\"a\":1}\n{\"b\"", ":2}\n"], &["{\"a\":1}", "{\"b\":2}"]);
        check(&["{\"a\":", "1", "}\n"], &["{\"a\":1}"]);
    }

    #[test]
    fn what_is_no_json_is_passed_over() {
        check(&["hello\n{\"a\":1}\n\n{\"b\":\n"], &["{\"a\":1}"]);
    }
}
