//! Bytes to host calls. Every byte means something, so small changes of the bytes are small changes of the calls.

use serde_json::{Value, json};

/// Calls of one run.
const CALLS_MAX: usize = 24;
/// Pieces that paths are made of; a byte beyond stands for itself.
const PIECES: [&str; 28] = [
    "srv",
    "app",
    "sub",
    "a.txt",
    "b.txt",
    "single.conf",
    "beside.txt",
    "secret",
    "c.txt",
    "up",
    "away",
    "far",
    "round",
    "fine",
    "proc",
    "self",
    "fd",
    "root",
    "..",
    ".",
    "",
    "*",
    "**",
    "{a,b}",
    "[",
    "\0",
    "\u{202e}",
    "web-1.service",
];
/// Numbers at which something ends.
const NUMBERS: [u64; 10] =
    [0, 1, 255, 65_535, 65_536, 65_537, u32::MAX as u64, i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX];

struct Bytes<'d>(&'d [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn small(&mut self, below: u8) -> u8 {
        self.byte().unwrap_or(0) % below
    }

    fn number(&mut self) -> u64 {
        match self.byte().unwrap_or(0) {
            at if usize::from(at) < NUMBERS.len() => NUMBERS[usize::from(at)],
            // Moments near the one at which every test plays, and small numbers.
            at if at >= 0xf0 => 1_800_000_000_000_000_000_u64.wrapping_add(u64::from(at) << 20),
            other => u64::from(other),
        }
    }

    fn flag(&mut self) -> bool {
        self.byte().unwrap_or(0) & 1 == 1
    }

    fn piece(&mut self) -> String {
        match self.byte().unwrap_or(0) {
            at if usize::from(at) < PIECES.len() => PIECES[usize::from(at)].to_owned(),
            0xff => "x".repeat(5_000),
            other => char::from(other).to_string(),
        }
    }

    /// Most often below what is granted, so that not every path ends at the first door.
    fn path(&mut self) -> String {
        let start = ["/srv/app/", "/srv/app", "/", "", "/srv/single.conf", "/srv/"][usize::from(self.small(6))];
        let names: Vec<String> = (0..self.small(5)).map(|_| self.piece()).collect();
        format!("{start}{}", names.join("/"))
    }

    fn texts(&mut self) -> Vec<String> {
        match self.small(12) {
            11 => vec!["*".to_owned(); 70],
            count => (0..count % 4).map(|_| self.piece()).collect(),
        }
    }

    fn pairs(&mut self) -> Vec<(String, String)> {
        (0..self.small(4)).map(|_| (self.piece(), self.piece())).collect()
    }
}

/// The calls as the guest reads them: JSON.
pub(crate) fn decode(data: &[u8]) -> String {
    let mut bytes = Bytes(data);
    let mut calls: Vec<Value> = Vec::new();
    while let Some(kind) = bytes.byte() {
        if calls.len() == CALLS_MAX {
            break;
        }
        let it = &mut bytes;
        calls.push(match kind % 16 {
            0 => json!({ "stat": it.path() }),
            1 => json!({ "read": (it.path(), it.number(), it.number() as u32) }),
            2 => json!({ "read-link": it.path() }),
            3 => json!({ "hash": (it.path(), it.flag()) }),
            4 | 5 => {
                let (root, depth, only, except) = (it.path(), it.number() as u32, it.texts(), it.texts());
                json!({ "walk": (root, depth, only, except, it.flag(), it.flag(), it.number() as u32, it.small(5)) })
            }
            6 => json!({ "unit": it.piece() }),
            7 => json!({ "units": it.piece() }),
            8 => json!({ "processes": it.piece() }),
            9 => json!({ "metrics": (it.piece(), it.pairs(), it.number(), it.number(), it.number()) }),
            10 => json!({ "changes": (it.texts(), it.number(), it.number(), it.number() as u32) }),
            11 => json!({ "state-get": it.piece() }),
            12 => {
                let (key, len) = (it.piece(), it.number().min(100_000) as usize);
                json!({ "state-set": (key, vec![7_u8; len]) })
            }
            13 if it.flag() => json!({ "state-delete": it.piece() }),
            13 => json!({ "state-keys": it.piece() }),
            14 => json!({ "log": (it.byte().unwrap_or(0), it.path(), it.pairs()) }),
            _ => json!("clock"),
        });
    }
    Value::Array(calls).to_string()
}
