//! Collects reasons and makes the decision of them: the strictest wins, silence denies.

use crate::model::{Mode, Reason, Verdict};

/// Longest text of one reason, in bytes: names in it may come from a plan or a finding.
const TEXT_BYTES_MAX: usize = 500;

/// Reasons in the making.
#[derive(Debug, Default)]
pub(super) struct Reasons {
    reasons: Vec<Reason>,
    mode: Option<Mode>,
}

/// What a mode allows once there is a plan.
pub(super) fn verdict_of(mode: Mode) -> Verdict {
    match mode {
        Mode::Auto => Verdict::Allow,
        Mode::Approve => Verdict::RequireApproval,
        Mode::Advise | Mode::Observe => Verdict::Deny,
    }
}

impl Reasons {
    /// The mode may be no higher than this.
    pub(super) fn cap(&mut self, code: &str, mode: Mode, origin: &str, text: impl Into<String>) {
        self.mode = Some(self.mode.map_or(mode, |so_far| so_far.min(mode)));
        self.add(code, verdict_of(mode), origin, text.into());
    }
    /// The mode may be no higher than this; said only when it binds.
    pub(super) fn cap_if_it_binds(&mut self, code: &str, mode: Mode, origin: &str, text: impl Into<String>) {
        if mode < Mode::Auto {
            self.cap(code, mode, origin, text);
        }
    }
    /// Not now, whatever the mode.
    pub(super) fn deny(&mut self, code: &str, origin: &str, text: impl Into<String>) {
        self.add(code, Verdict::Deny, origin, text.into());
    }
    /// Worth saying; binds nothing.
    pub(super) fn note(&mut self, code: &str, origin: &str, text: impl Into<String>) {
        self.add(code, Verdict::Allow, origin, text.into());
    }

    /// Found elsewhere.
    pub(super) fn given(&mut self, reason: &Reason) {
        self.add(&reason.code, reason.verdict, &reason.origin, reason.text.clone());
    }

    fn add(&mut self, code: &str, verdict: Verdict, origin: &str, text: String) {
        self.reasons.push(Reason {
            code: code.into(),
            verdict,
            origin: origin.into(),
            text: bounded(text, TEXT_BYTES_MAX),
        });
    }

    /// Verdict, mode, and the reasons, strictest first and else as they were found. No cap at all means `observe`.
    pub(super) fn finish(mut self) -> (Verdict, Mode, Vec<Reason>) {
        self.reasons.sort_by_key(|reason| std::cmp::Reverse(reason.verdict));
        (strictest(&self.reasons), self.mode.unwrap_or(Mode::Observe), self.reasons)
    }
}

/// Silence denies.
pub(super) fn strictest(reasons: &[Reason]) -> Verdict {
    reasons.iter().map(|reason| reason.verdict).max().unwrap_or(Verdict::Deny)
}

/// Cut at a character, with a mark. Characters that move a cursor or turn the reading direction around are shown as escapes, so that
/// a text from a plan or a finding cannot make a terminal say something else.
pub(super) fn bounded(text: String, bytes_max: usize) -> String {
    let hidden = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut out = text;
    if out.chars().any(hidden) {
        out = out.chars().fold(String::new(), |mut shown, c| {
            if hidden(c) {
                shown.extend(c.escape_default());
            } else {
                shown.push(c);
            }
            shown
        });
    }
    if out.len() > bytes_max {
        out.truncate(out.floor_char_boundary(bytes_max));
        out.push('…');
    }
    out
}
