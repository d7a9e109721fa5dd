//! Opens files as streams, whatever they are compressed with.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

/// Bytes read at once.
const CHUNK: usize = 128 << 10;

/// Opens a file; gzip and zstd are told by their first bytes, not by the name.
pub(crate) fn open(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    let mut file = File::open(path)?;
    let mut magic = [0_u8; 4];
    let mut length = 0;
    while length < magic.len() {
        match file.read(&mut magic[length..])? {
            0 => break,
            count => length += count,
        }
    }
    let whole = io::Cursor::new(magic).take(length as u64).chain(file);
    Ok(match &magic[..length] {
        [0x1f, 0x8b, ..] => {
            Box::new(flate2::read::MultiGzDecoder::new(BufReader::with_capacity(CHUNK, whole)))
        }
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::stream::read::Decoder::new(whole)?),
        _ => Box::new(whole),
    })
}

/// Hands a file's contents out in pieces. A stream that breaks off, such as a truncated archive, gives what came before
/// and then its error.
pub(crate) fn for_each_chunk(path: &Path, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let mut stream = open(path)?;
    let mut buffer = vec![0; CHUNK];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => each(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reads the first `limit` bytes of a file.
pub(crate) fn bytes(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a small text file, bad bytes replaced; files above `limit` are read up to it.
pub(crate) fn text(path: &Path, limit: u64) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&bytes(path, limit)?).into_owned())
}
