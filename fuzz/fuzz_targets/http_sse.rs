//! Bytes of a server to events: a response, and the event stream in it. The first byte says how they are split.

#![no_main]

use libfuzzer_sys::fuzz_target;
use srt_http::{BodyEvent, ResponseDecoder, SseDecoder};

fuzz_target!(|bytes: &[u8]| {
    let Some((&split, bytes)) = bytes.split_first() else { return };
    let size = usize::from(split).max(1);
    assert_eq!(
        events(bytes, bytes.len().max(1)),
        events(bytes, size),
        "events depend on how bytes were split"
    );
    assert_eq!(
        bodies(bytes, bytes.len().max(1)),
        bodies(bytes, size),
        "bodies depend on how bytes were split"
    );
});

/// The events of a stream that arrives in pieces of this size.
fn events(bytes: &[u8], size: usize) -> Vec<(Vec<u8>, Vec<u8>, bool)> {
    let mut decoder = SseDecoder::new();
    let mut seen = Vec::new();
    for piece in bytes.chunks(size) {
        decoder.push(piece, &mut |event| seen.push((event.kind.to_vec(), event.data.to_vec(), event.is_cut)));
    }
    decoder.finish(&mut |event| seen.push((event.kind.to_vec(), event.data.to_vec(), event.is_cut)));
    seen
}

/// The body of a response that arrives in pieces of this size, and whether it was whole.
fn bodies(bytes: &[u8], size: usize) -> (Vec<u8>, bool) {
    let mut decoder = ResponseDecoder::new();
    let mut body = Vec::new();
    let mut sink = |event: BodyEvent<'_>| {
        if let BodyEvent::Data(data) = event {
            body.extend_from_slice(data);
        }
    };
    for piece in bytes.chunks(size) {
        match decoder.push(piece, &mut sink) {
            // What follows the response belongs to nobody.
            Ok(taken) if taken < piece.len() => return (body, true),
            Ok(_) => {}
            Err(_) => return (body, false),
        }
    }
    let is_whole = decoder.finish(&mut sink).is_ok();
    (body, is_whole)
}
