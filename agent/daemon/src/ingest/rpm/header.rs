//! One header of rpm's database: a package's tags. Pure, and good for any bytes.
//!
//! As rpm's own `docs/manual/hregions` and `format_header` describe it: two numbers, the count of entries and the bytes of data; an entry is
//! tag, type, offset and count of 32 bits each, big end first; then the data.

/// rpm itself takes no more entries.
const ENTRIES_MAX: usize = 0xffff;
/// Bytes before the entries.
const INTRO_BYTES: usize = 8;
/// Bytes of an entry.
const ENTRY_BYTES: usize = 16;

/// Tags by their numbers in `rpmtag.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Tag {
    Name = 1000,
    Version = 1001,
    Release = 1002,
    Epoch = 1003,
    InstallTime = 1008,
    Architecture = 1022,
    FileStates = 1029,
    FileDigests = 1035,
    DirIndexes = 1116,
    BaseNames = 1117,
    DirNames = 1118,
    FileDigestAlgorithm = 5011,
}

/// Types by their numbers in `rpmtag.h`.
const CHAR: u32 = 1;
const INT32: u32 = 4;
const STRING: u32 = 6;
const STRING_ARRAY: u32 = 8;
const I18N_STRING: u32 = 9;

/// A header, or its beginning: what lies beyond is as if it weren't there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header<'b> {
    entries: &'b [u8],
    data: &'b [u8],
}

/// Bytes of the entries that this beginning announces, and of the data behind them. `None`: it is no header.
pub(super) fn extent(intro: [u8; INTRO_BYTES]) -> Option<(usize, usize)> {
    let (entries, data) = (number(&intro, 0)? as usize, number(&intro, 4)? as usize);
    (entries <= ENTRIES_MAX).then_some((INTRO_BYTES + entries * ENTRY_BYTES, data))
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

impl<'b> Header<'b> {
    /// `None`: it is no header.
    pub(super) fn new(bytes: &'b [u8]) -> Option<Self> {
        let (entries, data) = extent(bytes.get(..INTRO_BYTES)?.try_into().ok()?)?;
        let end = entries.saturating_add(data).min(bytes.len());
        Some(Self { entries: bytes.get(INTRO_BYTES..entries)?, data: bytes.get(entries..end)? })
    }

    /// Type, count, and the data from there on.
    fn find(&self, tag: Tag) -> Option<(u32, usize, &'b [u8])> {
        let entry = self.entries.chunks_exact(ENTRY_BYTES).find(|entry| number(entry, 0) == Some(tag as u32))?;
        let (kind, at, count) = (number(entry, 4)?, number(entry, 8)?, number(entry, 12)?);
        Some((kind, count as usize, self.data.get(at as usize..)?))
    }

    /// Where the data of these tags begin, at the furthest.
    pub(super) fn furthest(&self, tags: &[Tag]) -> usize {
        let wanted = |entry: &&[u8]| number(entry, 0).is_some_and(|it| tags.iter().any(|tag| *tag as u32 == it));
        let at = |entry: &[u8]| number(entry, 8).map_or(0, |at| at as usize);
        self.entries.chunks_exact(ENTRY_BYTES).filter(wanted).map(at).max().unwrap_or(0)
    }

    /// The only text, or the first.
    pub(super) fn text(&self, tag: Tag) -> Option<String> {
        let (kind, _, data) = self.find(tag)?;
        let end = data.iter().position(|byte| *byte == 0)?;
        matches!(kind, STRING | STRING_ARRAY | I18N_STRING).then(|| String::from_utf8_lossy(&data[..end]).into_owned())
    }

    /// All texts; none when one is missing.
    pub(super) fn texts(&self, tag: Tag) -> Option<Vec<&'b [u8]>> {
        let (kind, count, data) = self.find(tag)?;
        if kind != STRING_ARRAY {
            return None;
        }
        // What cannot be there is not waited for in memory.
        let texts: Vec<&[u8]> = data.split(|byte| *byte == 0).take(count).collect();
        // Behind the last text's end there is one more part, empty or not: without it that text has no end.
        (texts.len() == count && data.iter().filter(|byte| **byte == 0).take(count).count() == count).then_some(texts)
    }

    /// All numbers; none when one is missing.
    pub(super) fn numbers(&self, tag: Tag) -> Option<Vec<u32>> {
        let (kind, count, data) = self.find(tag)?;
        let data = data.get(..count.checked_mul(4)?)?;
        (kind == INT32).then(|| data.chunks_exact(4).filter_map(|it| number(it, 0)).collect())
    }

    /// The only number, or the first.
    pub(super) fn number(&self, tag: Tag) -> Option<u32> {
        let (kind, count, data) = self.find(tag)?;
        number(data, 0).filter(|_| kind == INT32 && count > 0)
    }

    /// Bytes, one for each file.
    pub(super) fn bytes(&self, tag: Tag) -> Option<&'b [u8]> {
        let (kind, count, data) = self.find(tag)?;
        data.get(..count).filter(|_| kind == CHAR)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(entries: &[(Tag, u32, u32)], data: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend((entries.len() as u32).to_be_bytes());
        bytes.extend((data.len() as u32).to_be_bytes());
        let mut at = 0;
        for (tag, kind, count) in entries {
            let number = [*tag as u32, *kind, at, *count];
            bytes.extend(number.iter().flat_map(|it| it.to_be_bytes()));
            at += 4;
        }
        bytes.extend(data);
        bytes
    }

    #[test]
    fn tags_are_read_by_their_type() {
        let bytes = header(
            &[
                (Tag::Name, STRING, 1),
                (Tag::BaseNames, STRING_ARRAY, 2),
                (Tag::DirIndexes, INT32, 1),
                (Tag::FileStates, CHAR, 2),
            ],
            b"web\0a\0b\0\0\0\0\x07\x01\x02",
        );
        let header = Header::new(&bytes).unwrap();
        assert_eq!(header.text(Tag::Name).as_deref(), Some("web"));
        assert_eq!(header.texts(Tag::BaseNames).unwrap(), [b"a", b"b"]);
        assert_eq!((header.numbers(Tag::DirIndexes).unwrap(), header.number(Tag::DirIndexes)), (vec![7], Some(7)));
        assert_eq!(header.bytes(Tag::FileStates), Some([1, 2].as_slice()));
        assert_eq!(
            (header.text(Tag::DirIndexes), header.number(Tag::Name), header.text(Tag::Version)),
            (None, None, None)
        );
        assert_eq!(header.furthest(&[Tag::Name, Tag::DirIndexes]), 8);
    }

    #[test]
    fn what_does_not_end_within_the_data_is_not_there() {
        let bytes = header(&[(Tag::Name, STRING, 1), (Tag::BaseNames, STRING_ARRAY, 3)], b"web\0a\0b");
        assert_eq!(Header::new(&bytes).unwrap().texts(Tag::BaseNames), None);
        let bytes =
            header(&[(Tag::BaseNames, STRING_ARRAY, u32::MAX), (Tag::DirIndexes, INT32, u32::MAX)], b"web\0a\0b\0");
        let header = Header::new(&bytes).unwrap();
        assert_eq!((header.texts(Tag::BaseNames), header.numbers(Tag::DirIndexes)), (None, None));
        assert!(Header::new(&[0, 0, 0, 1, 0, 0, 0, 0]).is_none() && Header::new(&[0xff; 64]).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_borne(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), entries in 0_u8..6) {
            if let Some(count) = bytes.get_mut(..4) {
                count.copy_from_slice(&[0, 0, 0, entries]);
            }
            let Some(header) = Header::new(&bytes) else { return Ok(()) };
            for tag in [Tag::Name, Tag::BaseNames, Tag::DirIndexes, Tag::FileStates] {
                let _ = (header.text(tag), header.texts(tag), header.numbers(tag), header.number(tag), header.bytes(tag));
            }
        }
    }
}
