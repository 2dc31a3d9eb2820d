//! What may be open: patterns of the operator's, and what was learned. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::sockets::Listener;

/// Ports from one to another, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports(pub u16, pub u16);

impl Ports {
    /// `22`, `8000-8100`
    pub fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        let ports = Self(from.parse().ok()?, to.parse().ok()?);
        (ports.0 <= ports.1).then_some(ports)
    }

    /// Whether it is one of them.
    pub fn has(self, port: u16) -> bool {
        (self.0..=self.1).contains(&port)
    }
}

/// `tcp/22`, `tcp/8000-8100`, `tcp/22@sshd`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    protocol: String,
    ports: Ports,
    program: Option<String>,
}

impl Pattern {
    /// The error says what is wanted.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (socket, program) = match text.split_once('@') {
            Some((socket, program)) => (socket, Some(program.to_owned())),
            None => (text, None),
        };
        let parsed = socket.split_once('/').and_then(|(protocol, ports)| Some((protocol, Ports::parse(ports)?)));
        match parsed {
            Some((protocol @ ("tcp" | "udp"), ports)) => Ok(Self { protocol: protocol.to_owned(), ports, program }),
            _ => Err(format!("`{text}` is not such as \"tcp/22\", \"udp/8000-8100\" or \"tcp/22@sshd\"")),
        }
    }

    fn covers(&self, it: &Listener, program: Option<&str>) -> bool {
        self.protocol == it.protocol
            && self.ports.has(it.port)
            && self.program.as_deref().is_none_or(|wanted| Some(wanted) == program)
    }
}

/// Whether the operator says that it may be open.
pub fn is_allowed(patterns: &[Pattern], it: &Listener, program: Option<&str>) -> bool {
    patterns.iter().any(|pattern| pattern.covers(it, program))
}

/// Keys that are kept; more ports than this are open on no host that anybody watches.
const KEYS_MAX: usize = 4_000;

/// What was open while the plugin learned, and what is new since.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The first run, in nanoseconds since the epoch; 0 before it.
    pub began_ns: u64,
    /// `tcp/22#0`: by protocol, port and user.
    pub learned: Vec<String>,
    /// What is open and was not there before, by the same key.
    pub new: BTreeMap<String, News>,
}

/// Something new, as it was when it was first seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    /// When, in nanoseconds since the epoch.
    pub since_ns: u64,
    /// Whose it was then.
    pub owner: Owner,
}

/// Who holds a socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Owner {
    /// This process: its descriptor names the socket.
    Surely(Holder),
    /// One of these, the youngest first: all that is known is the user.
    Likely(Vec<Holder>),
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// Its program, where it may be known.
    #[serde(default)]
    pub exe: Option<String>,
    /// The program's file is gone.
    #[serde(default)]
    pub exe_deleted: bool,
    /// Its unit.
    #[serde(default)]
    pub unit: Option<String>,
}

/// `tcp/22#0`
pub fn key(it: &Listener) -> String {
    format!("{}/{}#{}", it.protocol, it.port, it.uid)
}

impl Memory {
    /// Whether it was open while the plugin learned.
    pub fn knows(&self, it: &Listener) -> bool {
        self.learned.binary_search(&key(it)).is_ok()
    }

    /// Takes it for known.
    pub fn learn(&mut self, it: &Listener) {
        if let Err(at) = self.learned.binary_search(&key(it))
            && self.learned.len() < KEYS_MAX
        {
            self.learned.insert(at, key(it));
        }
    }

    /// Whether the time of learning is not over.
    pub fn is_learning(&self, now_ns: u64, learn_for_ns: u64) -> bool {
        now_ns.saturating_sub(self.began_ns) < learn_for_ns
    }
}
