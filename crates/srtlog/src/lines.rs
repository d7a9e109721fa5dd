//! Splits a byte stream into lines, however it arrives.

use memchr::memchr2_iter;

/// Lines are kept up to this length; the rest of a longer one is dropped, so that memory stays bounded.
pub(crate) const MAX_LINE: usize = 256 << 10;

/// Splits a byte stream at `\n`, `\r\n`, and `\r` (progress bars), without a copy for lines that arrive whole.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// The start of a line whose end has not arrived.
    partial: Vec<u8>,
    /// The last byte was `\r`, so a `\n` that comes next belongs to it.
    after_carriage_return: bool,
    /// Lines longer than [`MAX_LINE`].
    pub(crate) cut: u64,
}

impl Lines {
    #[inline]
    pub(crate) fn push(&mut self, chunk: &[u8], mut each: impl FnMut(&[u8])) {
        let mut start = 0;
        for end in memchr2_iter(b'\n', b'\r', chunk) {
            let line_is_empty = end == start && self.partial.is_empty();
            let completes_crlf = chunk[end] == b'\n' && self.after_carriage_return && line_is_empty;
            if !completes_crlf {
                self.complete(&chunk[start..end], &mut each);
            }
            self.after_carriage_return = chunk[end] == b'\r';
            start = end + 1;
        }
        if start < chunk.len() {
            self.after_carriage_return = false;
            self.keep(&chunk[start..]);
        }
    }

    /// Hands out the last line when the stream ended without a line end.
    pub(crate) fn finish(&mut self, mut each: impl FnMut(&[u8])) {
        if !self.partial.is_empty() {
            self.complete(b"", &mut each);
        }
        self.after_carriage_return = false;
    }

    #[inline]
    fn complete(&mut self, tail: &[u8], each: &mut impl FnMut(&[u8])) {
        if self.partial.is_empty() && tail.len() <= MAX_LINE {
            each(tail);
            return;
        }
        self.keep(tail);
        if self.partial.len() > MAX_LINE {
            self.cut += 1;
            self.partial.truncate(MAX_LINE);
        }
        each(&self.partial);
        self.partial.clear();
    }

    /// Keeps one byte more than a line may have, which is how a cut line is told from a full one.
    fn keep(&mut self, bytes: &[u8]) {
        let room = (MAX_LINE + 1).saturating_sub(self.partial.len());
        self.partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &[u8], chunk: usize) -> Vec<String> {
        let mut lines = Lines::default();
        let mut out = Vec::new();
        for part in text.chunks(chunk) {
            lines.push(part, |line| out.push(String::from_utf8_lossy(line).into_owned()));
        }
        lines.finish(|line| out.push(String::from_utf8_lossy(line).into_owned()));
        out
    }

    #[test]
    fn every_line_end_counts_once_however_the_text_is_split() {
        let text = b"a\nb\r\n\r\nc\rd\r\r\n\ne";
        let expected = ["a", "b", "", "c", "d", "", "", "e"];
        for chunk in 1..=text.len() {
            assert_eq!(split(text, chunk), expected, "chunks of {chunk}");
        }
    }

    #[test]
    fn a_line_without_end_is_cut_and_counted() {
        let mut text = vec![b'x'; MAX_LINE + 10];
        text.extend_from_slice(b"\nshort\n");
        for chunk in [1 << 12, text.len()] {
            let lines = split(&text, chunk);
            assert_eq!((lines.len(), lines[0].len(), lines[1].as_str()), (2, MAX_LINE, "short"));
        }
    }
}
