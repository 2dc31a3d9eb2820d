//! From a protobuf message to the bytes of a request: compressed, and over gRPC framed. Pure.

use std::io::{self, Write};

use flate2::write::GzEncoder;

use super::{Compression, Protocol};

/// Fast levels: a request is sent once, and its CPU time is the host's.
const GZIP_LEVEL: u32 = 3;
const ZSTD_LEVEL: i32 = 1;
/// A gRPC message's head: one byte of flags, four of length.
pub(super) const FRAME_HEAD: usize = 5;

/// The body of a request that carries `message`.
pub(super) fn wrap(protocol: Protocol, compression: Compression, message: Vec<u8>) -> io::Result<Vec<u8>> {
    let message = match compression {
        Compression::None => message,
        Compression::Gzip => {
            let mut gzip = GzEncoder::new(Vec::with_capacity(message.len() / 8), flate2::Compression::new(GZIP_LEVEL));
            gzip.write_all(&message)?;
            gzip.finish()?
        }
        Compression::Zstd => zstd::bulk::compress(&message, ZSTD_LEVEL)?,
    };
    if protocol == Protocol::HttpProtobuf {
        return Ok(message);
    }
    let length = u32::try_from(message.len()).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    let mut framed = Vec::with_capacity(message.len() + FRAME_HEAD);
    framed.push(u8::from(compression != Compression::None));
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(&message);
    Ok(framed)
}

/// The message of a framed answer; `None` when it is compressed or cut off.
pub(super) fn unframe(body: &[u8]) -> Option<&[u8]> {
    let (head, rest) = body.split_at_checked(FRAME_HEAD)?;
    let length = u32::from_be_bytes(head.get(1..)?.try_into().ok()?) as usize;
    (head.first() == Some(&0)).then(|| rest.get(..length)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn what_was_compressed_and_framed_comes_out_again() {
        let message = b"all work and no play ".repeat(500);
        let gzip = wrap(Protocol::HttpProtobuf, Compression::Gzip, message.clone()).unwrap();
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(gzip.as_slice()).read_to_end(&mut plain).unwrap();
        assert!(plain == message && gzip.len() < 500, "{}", gzip.len());
        let zstd = wrap(Protocol::HttpProtobuf, Compression::Zstd, message.clone()).unwrap();
        assert_eq!(zstd::bulk::decompress(&zstd, 1 << 20).unwrap(), message);
        let framed = wrap(Protocol::Grpc, Compression::Gzip, message.clone()).unwrap();
        assert_eq!((framed[0], &framed[FRAME_HEAD..]), (1, &gzip[..]));
        let framed = wrap(Protocol::Grpc, Compression::None, message.clone()).unwrap();
        assert_eq!(unframe(&framed), Some(&message[..]));
        assert_eq!((unframe(&framed[..9]), unframe(b"\0\0"), unframe(&[1, 0, 0, 0, 0])), (None, None, None));
    }
}
