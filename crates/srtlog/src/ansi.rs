//! Removes terminal control sequences.

use memchr::memchr;

const ESCAPE: u8 = 0x1b;

/// Whether `text` holds a terminal control sequence.
#[inline]
pub(crate) fn is_coloured(text: &[u8]) -> bool {
    memchr(ESCAPE, text).is_some()
}

/// Writes `text` without its control sequences (`ESC [ … letter`) into `clean`.
pub(crate) fn strip(text: &[u8], clean: &mut Vec<u8>) {
    clean.clear();
    let mut rest = text;
    while let Some(at) = memchr(ESCAPE, rest) {
        clean.extend_from_slice(&rest[..at]);
        rest = &rest[at + sequence_length(&rest[at..])..];
    }
    clean.extend_from_slice(rest);
}

/// Length of the control sequence at the start of `text`. A lone escape byte is dropped alone.
fn sequence_length(text: &[u8]) -> usize {
    if text.get(1) != Some(&b'[') {
        return 1;
    }
    let parameters = text[2..].iter().take_while(|byte| (0x20..=0x3f).contains(*byte)).count();
    match text.get(2 + parameters) {
        Some(0x40..=0x7e) => 3 + parameters,
        _ => 2 + parameters,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn control_sequences_go_and_text_stays() {
        let mut clean = Vec::new();
        super::strip(b"\x1b[2mA\x1b[0m \x1b[38;5;12mB\x1b[K\x1b[m\x1bC\x1b[", &mut clean);
        assert_eq!(clean, b"A BC");
    }
}
