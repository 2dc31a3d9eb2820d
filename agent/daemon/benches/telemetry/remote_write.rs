//! Prometheus' remote write, version 1: protobuf in a snappy block, as small a writer as will do.

/// A field of bytes: its number, its length, itself.
fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The labels of one series, to be written again with each request. Sorted by name, as the protocol wants it.
pub(crate) fn labels(name: &str, idx: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in [("__name__", name), ("host", "runner-01"), ("idx", &idx.to_string())] {
        let mut label = Vec::new();
        field(&mut label, 1, name.as_bytes());
        field(&mut label, 2, value.as_bytes());
        field(&mut out, 1, &label);
    }
    out
}

/// One series with its samples, as (milliseconds, value).
pub(crate) fn series(out: &mut Vec<u8>, labels: &[u8], samples: impl Iterator<Item = (i64, f64)>) {
    let mut one = labels.to_vec();
    for (at_ms, value) in samples {
        let mut sample = vec![1 << 3 | 1];
        sample.extend_from_slice(&value.to_le_bytes());
        sample.push(2 << 3);
        varint(&mut sample, at_ms as u64);
        field(&mut one, 2, &sample);
    }
    field(out, 1, &one);
}

/// A snappy block of literals alone: nothing is compressed, so nobody's CPU goes into that.
pub(crate) fn snappy(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 64);
    varint(&mut out, message.len() as u64);
    for literal in message.chunks(1 << 16) {
        out.push(61 << 2);
        out.extend_from_slice(&((literal.len() - 1) as u16).to_le_bytes());
        out.extend_from_slice(literal);
    }
    out
}
