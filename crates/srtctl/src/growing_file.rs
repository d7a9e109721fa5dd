//! [`GrowingFile`]: a file that another process, often on another machine, appends to.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    time::Duration,
};

use camino::Utf8PathBuf;

/// How often a growing file is looked at. Nothing tells us that another machine has written to a file system that
/// we share with it (inotify sees only this machine's writes), so reading again and again is the only way.
pub(crate) const READ_INTERVAL: Duration = Duration::from_millis(250);

/// Bytes that are read in one go, so that a log of gigabytes is never held in memory.
const PIECE: u64 = 1 << 20;

/// A file that is read as far as it has been written.
#[derive(Debug)]
pub(crate) struct GrowingFile {
    path: Utf8PathBuf,
    position: u64,
    /// The start of a line whose end has not been written yet.
    rest: Vec<u8>,
}

impl GrowingFile {
    /// Reads from the start. The file need not exist yet.
    pub(crate) fn new(path: Utf8PathBuf) -> Self {
        Self { path, position: 0, rest: Vec::new() }
    }

    /// The next complete lines, each with its line feed; empty when there is nothing new.
    pub(crate) fn read(&mut self) -> io::Result<Vec<u8>> {
        // Opened anew each time: a network file system then asks its server how long the file is by now.
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        loop {
            file.seek(SeekFrom::Start(self.position))?;
            let mut piece = Vec::new();
            let length = file.by_ref().take(PIECE).read_to_end(&mut piece)?;
            if length == 0 {
                return Ok(Vec::new());
            }
            self.position += u64::try_from(length).expect("a piece is small");
            let Some(end) = piece.iter().rposition(|&byte| byte == b'\n') else {
                self.rest.extend(piece);
                continue;
            };
            let rest = piece.split_off(end + 1);
            let mut lines = std::mem::replace(&mut self.rest, rest);
            lines.extend(piece);
            return Ok(lines);
        }
    }

    /// The line without an end that a dead writer left.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.rest)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::OpenOptions, io::Write as _};

    use super::*;

    /// Writes piece by piece, and notes what can be read after each.
    #[track_caller]
    fn check(pieces: &[&str], read: &[&str], rest: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut growing = GrowingFile::new(Utf8PathBuf::try_from(path.clone()).unwrap());
        assert!(growing.read().unwrap().is_empty());
        let mut seen = Vec::new();
        for piece in pieces {
            let mut file = OpenOptions::new().append(true).create(true).open(&path).unwrap();
            file.write_all(piece.as_bytes()).unwrap();
            seen.push(String::from_utf8(growing.read().unwrap()).unwrap());
            assert!(growing.read().unwrap().is_empty());
        }
        assert_eq!(seen, read);
        assert_eq!(growing.rest(), rest.as_bytes());
    }

    #[test]
    fn only_complete_lines_are_read() {
        check(&["a\nb", "c", "\n\nd"], &["a\n", "", "bc\n\n"], "d");
        check(&["a\n", "b\n"], &["a\n", "b\n"], "");
    }

    #[test]
    fn a_line_longer_than_a_piece_is_whole() {
        let long = "x".repeat(usize::try_from(PIECE).unwrap() * 2 + 3) + "\n";
        check(&[&long], &[&long], "");
    }
}
