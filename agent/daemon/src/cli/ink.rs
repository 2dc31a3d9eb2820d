//! Colours, and the guard between stored text and a terminal.
//!
//! Views mark what is coloured with private code points; [`finish`] turns them into escape sequences, or into nothing. In the
//! same pass every other control character and every reversal of direction becomes visible: what an attacker writes into
//! a file name, a unit's output or a diff never reaches the terminal as a command.

/// How a piece of text is to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
    Cyan,
}

const PLAIN: char = '\u{F8E0}';
const INKS: [(Ink, char, &str); 6] = [
    (Ink::Bold, '\u{F8E1}', "1"),
    (Ink::Dim, '\u{F8E2}', "2"),
    (Ink::Red, '\u{F8E3}', "31"),
    (Ink::Green, '\u{F8E4}', "32"),
    (Ink::Yellow, '\u{F8E5}', "33"),
    (Ink::Cyan, '\u{F8E6}', "36"),
];

fn is_mark(c: char) -> bool {
    (PLAIN..='\u{F8E6}').contains(&c)
}

/// Marks a text. Marks do not nest.
pub(super) fn paint(ink: Ink, text: &str) -> String {
    let mark = INKS.iter().find(|(i, _, _)| *i == ink).map_or(PLAIN, |(_, mark, _)| *mark);
    format!("{mark}{text}{PLAIN}")
}

pub(super) fn bold(text: &str) -> String {
    paint(Ink::Bold, text)
}

pub(super) fn dim(text: &str) -> String {
    paint(Ink::Dim, text)
}

/// Characters that take a column.
pub(super) fn width(text: &str) -> usize {
    text.chars().filter(|c| !is_mark(*c)).count()
}

/// At most so many columns; what is cut is shown by `…`. Marks are kept.
pub(super) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let (mut out, mut used) = (String::new(), 0);
    for c in text.chars() {
        if is_mark(c) {
            out.push(c);
        } else if used + 1 < columns {
            out.push(c);
            used += 1;
        } else if used < columns {
            out.push('…');
            used = columns;
        }
    }
    out
}

/// A text on one line: every line end becomes a space.
pub(super) fn flat(text: &str) -> String {
    text.replace(['\n', '\r', '\t'], " ")
}

/// The text as it goes out.
pub(super) fn finish(text: &str, colored: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            PLAIN if colored => out.push_str("\u{1b}[0m"),
            c if is_mark(c) => {
                if let Some((_, _, code)) = INKS.iter().find(|(_, mark, _)| *mark == c).filter(|_| colored) {
                    out.push_str("\u{1b}[");
                    out.push_str(code);
                    out.push('m');
                }
            }
            '\n' | '\t' => out.push(c),
            c if c.is_control() || is_direction(c) => out.push('\u{FFFD}'),
            c => out.push(c),
        }
    }
    out
}

fn is_direction(c: char) -> bool {
    matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn colours_appear_only_where_they_are_wanted() {
        let text = format!("a {} b", paint(Ink::Red, "bad"));
        assert_eq!(finish(&text, true), "a \u{1b}[31mbad\u{1b}[0m b");
        assert_eq!(finish(&text, false), "a bad b");
        assert_eq!(width(&text), 7);
    }

    #[test]
    fn a_cut_text_shows_that_it_was_cut() {
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("abcd", 4), "abcd");
        assert_eq!(width(&cut(&bold("abcdef"), 4)), 4);
    }

    #[test]
    fn an_escape_sequence_in_stored_text_is_shown_and_not_obeyed() {
        assert_eq!(
            finish("evil\u{1b}[2J\u{9b}31m\u{202e}txt\r", true),
            "evil\u{FFFD}[2J\u{FFFD}31m\u{FFFD}txt\u{FFFD}"
        );
    }

    proptest! {
        #[test]
        fn nothing_but_our_own_escapes_gets_through(text in any::<String>()) {
            let plain = finish(&text, false);
            prop_assert!(plain.chars().all(|c| c == '\n' || c == '\t' || !c.is_control()));
        }
    }
}
