//! How many messages a request unfolds into, before it is decoded. Pure.
//!
//! An empty message takes two bytes on the wire and some hundred in memory: a body that is short enough could still be a
//! bomb. So the fields are counted first, which takes no memory, along the way from the request to its items.

use super::{Encoding, Signal};

/// Messages and texts that one request may hold: a full body of points with some attributes has fewer.
pub(super) const ITEMS_MAX: u64 = 250_000;

/// Field numbers on the way from the request to points, spans or records.
const METRICS: [&[u64]; 5] = [&[1], &[2], &[2], &[5, 7, 9, 10, 11], &[1]];
const OTHERS: [&[u64]; 3] = [&[1], &[2], &[2]];

/// Whether the request holds more than [`ITEMS_MAX`]. What is malformed is for the decoder to say.
pub(super) fn is_too_much(signal: Signal, encoding: Encoding, body: &[u8]) -> bool {
    let items = match (encoding, signal) {
        // Objects, and those in texts too, of which there are few.
        (Encoding::Json, _) => body.iter().fold(0, |items, byte| items + u64::from(*byte == b'{')),
        (Encoding::Protobuf, Signal::Metrics) => count(body, &METRICS),
        (Encoding::Protobuf, Signal::Traces | Signal::Logs) => count(body, &OTHERS),
    };
    items > ITEMS_MAX
}

fn count(mut bytes: &[u8], way: &[&[u64]]) -> u64 {
    let mut items = 0;
    while !bytes.is_empty() && items <= ITEMS_MAX {
        let Some(tag) = varint(&mut bytes) else { break };
        let skip = match tag & 7 {
            0 => varint(&mut bytes).map(|_| 0),
            1 => Some(8),
            2 => varint(&mut bytes),
            5 => Some(4),
            _ => None,
        };
        let Some((field, rest)) =
            skip.and_then(|it| usize::try_from(it).ok()).and_then(|it| bytes.split_at_checked(it))
        else {
            break;
        };
        bytes = rest;
        if tag & 7 == 2 {
            items += 1;
            if let Some((numbers, further)) = way.split_first()
                && numbers.contains(&(tag >> 3))
            {
                items += count(field, further);
            }
        }
    }
    items
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in 0..10 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << (7 * shift).min(63);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn field(number: u8, inner: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        let mut length = inner.len();
        while length >= 0x80 {
            out.push(length as u8 | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
        out.extend_from_slice(inner);
        out
    }

    #[test]
    fn a_body_of_empty_points_is_seen_before_it_unfolds() {
        let bomb = |points: usize| {
            let points: Vec<u8> = [0x0a, 0x00].repeat(points);
            field(1, &field(2, &field(2, &field(10, &points))))
        };
        assert!(is_too_much(Signal::Metrics, Encoding::Protobuf, &bomb(300_000)));
        assert!(!is_too_much(Signal::Metrics, Encoding::Protobuf, &bomb(200_000)));
        assert!(is_too_much(Signal::Traces, Encoding::Json, "{},".repeat(300_000).as_bytes()));
    }

    proptest! {
        #[test]
        fn counting_never_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(count(&body, &METRICS) <= 200);
        }
    }
}
