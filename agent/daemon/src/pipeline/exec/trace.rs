//! `TRACEPARENT` for the child (W3C Trace Context, level 1): the caller's trace goes on with a new span, or a new one begins.
//!
//! A value that does not follow the specification is treated as absent, as the specification asks.

use std::fmt::Write as _;

use crate::request::StepTrace;

/// What the child is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Child {
    /// The value of `TRACEPARENT`.
    pub(super) parent: String,
    /// Whether it continues the caller's trace, so that the caller's `TRACESTATE` still belongs to it.
    pub(super) continued: bool,
    /// The same in parts, for the record of the run.
    pub(super) span: StepTrace,
}

/// Trace id, parent's span id and flags of an incoming value.
fn parse(text: &str) -> Option<(&str, &str, u8)> {
    let hex =
        |part: &str, len: usize| part.len() == len && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let zero = |part: &str| part.bytes().all(|b| b == b'0');
    let mut parts = text.splitn(5, '-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let rest = parts.next();
    // Version ff is forbidden; version 00 has nothing after the flags, later ones may.
    let good = hex(version, 2) && version != "ff" && (version != "00" || rest.is_none());
    let good = good && hex(trace, 32) && !zero(trace) && hex(span, 16) && !zero(span) && hex(flags, 2);
    good.then(|| u8::from_str_radix(flags, 16).ok().map(|flags| (trace, span, flags))).flatten()
}

/// The child's parent: the same trace and sampling decision as the caller's, and a span id of its own.
pub(super) fn child(incoming: Option<&str>, mut random: impl FnMut() -> [u8; 10]) -> Child {
    let mut id = |bytes: usize| {
        let mut text = String::with_capacity(bytes * 2);
        while text.len() < bytes * 2 {
            for byte in random() {
                let _ = write!(text, "{byte:02x}");
            }
        }
        text.truncate(bytes * 2);
        // All zeros stands for "none" and must not be used.
        if text.bytes().all(|b| b == b'0') {
            text.replace_range(bytes * 2 - 1.., "1");
        }
        text
    };
    let span_id = id(8);
    let (trace_id, parent_span_id, sampled) = match incoming.and_then(parse) {
        // Flags other than "sampled" are not defined in version 00 and are not passed on.
        Some((trace, parent, flags)) => (trace.to_owned(), Some(parent.to_owned()), flags & 1 == 1),
        None => (id(16), None, true),
    };
    Child {
        parent: format!("00-{trace_id}-{span_id}-{:02x}", u8::from(sampled)),
        continued: parent_span_id.is_some(),
        span: StepTrace { trace_id, span_id, parent_span_id, sampled },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[track_caller]
    fn check(incoming: &str, continued: bool) {
        let child = child(Some(incoming), || [0xab; 10]);
        assert_eq!(child.continued, continued, "{incoming}");
        assert_eq!(child.parent.contains(TRACE), continued, "{}", child.parent);
        assert!(parse(&child.parent).is_some(), "{}", child.parent);
        assert!(!child.parent.contains("00f067aa0ba902b7"), "the span is the child's own: {}", child.parent);
        let recorded = child.span;
        assert_eq!(recorded.parent_span_id.as_deref(), continued.then_some("00f067aa0ba902b7"));
        let flags = u8::from(recorded.sampled);
        assert_eq!(child.parent, format!("00-{}-{}-{flags:02x}", recorded.trace_id, recorded.span_id));
    }

    #[test]
    fn a_callers_trace_goes_on_with_a_new_span() {
        check(&format!("00-{TRACE}-00f067aa0ba902b7-01"), true);
        check(&format!("00-{TRACE}-00f067aa0ba902b7-00"), true);
        check(&format!("01-{TRACE}-00f067aa0ba902b7-01-later"), true);
    }

    #[test]
    fn what_is_no_trace_parent_begins_a_new_trace() {
        for bad in [
            "",
            "00",
            &format!("00-{TRACE}-00f067aa0ba902b7"),
            &format!("00-{TRACE}-00f067aa0ba902b7-01-x"),
            &format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            &format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            &format!("00-{TRACE}-0000000000000000-01"),
            &format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
        ] {
            check(bad, false);
        }
    }

    #[test]
    fn the_sampling_decision_is_the_callers() {
        let child = child(Some(&format!("00-{TRACE}-00f067aa0ba902b7-00")), || [1; 10]);
        assert!(child.parent.ends_with("-00"), "{}", child.parent);
    }

    #[test]
    fn no_randomness_still_gives_a_valid_id() {
        assert!(parse(&child(None, || [0; 10]).parent).is_some());
    }

    proptest! {
        #[test]
        fn any_text_gives_a_valid_parent(text in ".{0,80}", seed: [u8; 10]) {
            prop_assert!(parse(&child(Some(&text), || seed).parent).is_some());
        }
    }
}
