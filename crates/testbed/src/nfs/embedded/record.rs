//! Record marking on a byte stream (RFC 5531, section 11).

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// The most data of one READ, WRITE or directory page, in bytes.
pub(crate) const TRANSFER_MAX: u32 = 1024 * 1024;

/// The longest call: the data of a WRITE, with room for the header, credentials and handle.
const RECORD_MAX: usize = TRANSFER_MAX as usize + 4096;

/// Marks the last fragment of a record.
const LAST: u32 = 0x8000_0000;

/// The next record, put together from its fragments; `None` at the end of the stream.
///
/// # Errors
/// When the stream ends within a record, or a record is longer than any call may be.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut record = Vec::new();
    loop {
        let mark = match stream.read_u32().await {
            Ok(mark) => mark,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && record.is_empty() => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let length = (mark & !LAST) as usize;
        let start = record.len();
        if start + length > RECORD_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("record of more than {RECORD_MAX} bytes"),
            ));
        }
        record.resize(start + length, 0);
        stream.read_exact(&mut record[start..]).await?;
        if mark & LAST != 0 {
            return Ok(Some(record));
        }
    }
}

/// A message as one fragment.
pub(crate) fn frame(message: &[u8]) -> Vec<u8> {
    // Replies are bounded by `TRANSFER_MAX`, far below the 31 bits of a length.
    let length = u32::try_from(message.len()).unwrap_or(LAST - 1) | LAST;
    let mut framed = Vec::with_capacity(message.len() + 4);
    framed.extend(length.to_be_bytes());
    framed.extend(message);
    framed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn fragments_make_one_record() {
        let mut stream = &[0, 0, 0, 2, b'a', b'b', 0x80, 0, 0, 1, b'c'][..];
        assert_eq!(
            read(&mut stream).await.expect("a record"),
            Some(b"abc".to_vec())
        );
        assert_eq!(read(&mut stream).await.expect("the end"), None);
    }

    #[tokio::test]
    async fn endless_and_broken_records_are_refused() {
        let mut long = &[0x7f, 0xff, 0xff, 0xff][..];
        let error = read(&mut long).await.expect_err("too long");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let mut broken = &[0x80, 0, 0, 4, b'a'][..];
        let error = read(&mut broken).await.expect_err("cut off");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn a_frame_reads_back() {
        let framed = frame(b"message");
        assert_eq!(
            read(&mut &framed[..]).await.expect("a record"),
            Some(b"message".to_vec())
        );
    }
}
