//! Lets JSON be read that Python wrote: it puts bare `NaN`, `Infinity`, and `-Infinity` where numbers stand.

use std::io::{self, Read};

/// A stream in which the words that JSON does not know are replaced: `NaN` by `null`, infinities by text.
pub(crate) struct PythonJson<R> {
    inner: R,
    /// Bytes ready to be handed out.
    ready: Vec<u8>,
    taken: usize,
    /// A word whose end has not been seen.
    word: Vec<u8>,
    in_text: bool,
    escaped: bool,
    is_done: bool,
}

impl<R: Read> PythonJson<R> {
    pub(crate) fn new(inner: R) -> PythonJson<R> {
        PythonJson {
            inner,
            ready: Vec::new(),
            taken: 0,
            word: Vec::new(),
            in_text: false,
            escaped: false,
            is_done: false,
        }
    }

    fn take_byte(&mut self, byte: u8) {
        if self.in_text {
            self.ready.push(byte);
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_text = false,
                _ => {}
            }
            return;
        }
        if byte.is_ascii_alphabetic() || (byte == b'-' && self.word.is_empty()) {
            self.word.push(byte);
            // A word this long is none of ours, and is handed on as it comes.
            if self.word.len() > "-Infinity".len() {
                self.ready.append(&mut self.word);
            }
            return;
        }
        self.end_word();
        self.in_text = byte == b'"';
        self.ready.push(byte);
    }

    fn end_word(&mut self) {
        let replacement: &[u8] = match self.word.as_slice() {
            b"NaN" => b"null",
            b"Infinity" => b"\"inf\"",
            b"-Infinity" => b"\"-inf\"",
            other => other,
        };
        self.ready.extend_from_slice(replacement);
        self.word.clear();
    }
}

impl<R: Read> Read for PythonJson<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.ready.len() && !self.is_done {
            self.ready.clear();
            self.taken = 0;
            let mut chunk = [0; 16 << 10];
            let count = self.inner.read(&mut chunk)?;
            if count == 0 {
                self.is_done = true;
                self.end_word();
            }
            for &byte in &chunk[..count] {
                self.take_byte(byte);
            }
        }
        let count = out.len().min(self.ready.len() - self.taken);
        out[..count].copy_from_slice(&self.ready[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_json_does_not_know_are_replaced_outside_text() {
        let text = r#"{"a": NaN, "b": [-Infinity, Infinity, -1, 1e5, true], "c": "NaN \" Infinity"}"#;
        let mut out = String::new();
        PythonJson::new(text.as_bytes()).read_to_string(&mut out).expect("memory can be read");
        assert_eq!(out, r#"{"a": null, "b": ["-inf", "inf", -1, 1e5, true], "c": "NaN \" Infinity"}"#);
    }
}
