//! Where output goes: documents to stdout, in text for people or in JSON for programs; remarks to stderr.

use std::cell::RefCell;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::time::Duration;

use holdfast_core::model::Timestamp;
use serde::Serialize;

use super::args::{Color, Format};
use super::exit::Failure;
use super::ink;
use crate::host::{Clock, SystemClock};

/// A yes or a no is no longer.
const ANSWER_BYTES_MAX: u64 = 256;

/// What a view needs to know about its surroundings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// Now, for ages.
    pub(super) now: Timestamp,
    /// Columns of the terminal; `None` in a pipe, where nothing is cut.
    pub(super) columns: Option<usize>,
}

/// The output of one command.
pub(super) struct Out {
    sink: RefCell<Box<dyn Write>>,
    remarks: RefCell<Box<dyn Write>>,
    format: Format,
    colored: bool,
    quiet: bool,
    columns: Option<usize>,
    clock: Box<dyn Clock>,
}

impl Out {
    pub(super) fn new(format: Format, color: Color, quiet: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
        let colored = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|t| t != "dumb"),
        };
        let columns = if terminal {
            rustix::termios::tcgetwinsize(io::stdout()).ok().map(|size| usize::from(size.ws_col)).filter(|c| *c > 0)
        } else {
            None
        };
        let (sink, remarks) = (RefCell::new(Box::new(io::stdout()) as _), RefCell::new(Box::new(io::stderr()) as _));
        Self { sink, remarks, format, colored, quiet, columns, clock: Box::new(SystemClock::new()) }
    }

    /// Output that a test reads: no terminal, no colours, and a clock that stands still.
    #[cfg(test)]
    pub(super) fn captured(sink: impl Write + 'static, format: Format, clock: impl Clock + 'static) -> Self {
        Self {
            sink: RefCell::new(Box::new(sink)),
            remarks: RefCell::new(Box::new(io::sink())),
            format,
            colored: false,
            quiet: false,
            columns: None,
            clock: Box::new(clock),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.wall()
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.clock.monotonic()
    }

    pub(super) fn look(&self) -> Look {
        Look { now: self.now(), columns: self.columns }
    }

    pub(super) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// One document.
    pub(super) fn document<T: Serialize>(
        &self,
        document: &T,
        text: impl FnOnce(Look) -> String,
    ) -> Result<(), Failure> {
        if self.is_json() {
            let json = serde_json::to_string_pretty(document).map_err(io::Error::other)?;
            return self.raw(&format!("{json}\n"));
        }
        self.raw(&ink::finish(&text(self.look()), self.colored))
    }

    /// One record of many: a line of JSON, or its text.
    pub(super) fn record<T: Serialize>(&self, record: &T, text: impl FnOnce(Look) -> String) -> Result<(), Failure> {
        if self.is_json() {
            let json = serde_json::to_string(record).map_err(io::Error::other)?;
            return self.raw(&format!("{json}\n"));
        }
        self.raw(&ink::finish(&text(self.look()), self.colored))
    }

    /// Bytes as they are.
    pub(super) fn raw(&self, text: &str) -> Result<(), Failure> {
        let mut sink = self.sink.borrow_mut();
        sink.write_all(text.as_bytes())?;
        sink.flush()?;
        Ok(())
    }

    /// A remark for people: what was done, what could be done next. Silent with `-q`.
    pub(super) fn remark(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(self.remarks.borrow_mut(), "{}", ink::finish(text, false));
        }
    }

    /// Asks a person, and takes nothing but `y` or `yes` for a yes. `None`: there is no terminal, so nobody to ask.
    pub(super) fn ask(&self, question: &str) -> Option<bool> {
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            return None;
        }
        let mut remarks = self.remarks.borrow_mut();
        let _ = write!(remarks, "{} [y/N] ", ink::finish(question, false)).and_then(|()| remarks.flush());
        let mut answer = String::new();
        let read = io::stdin().lock().take(ANSWER_BYTES_MAX).read_line(&mut answer);
        Some(read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }

    /// Progress: only on a terminal, where it can be seen to be progress.
    pub(super) fn progress(&self, text: &str) {
        if io::stderr().is_terminal() {
            self.remark(text);
        }
    }
}

/// `error:` and `hint:` lines.
pub(super) fn report(failure: &Failure) {
    if failure.is_broken_pipe {
        return;
    }
    let mut stderr = io::stderr().lock();
    let _ = writeln!(stderr, "error: {}", ink::finish(&failure.message, false));
    if let Some(hint) = &failure.hint {
        let _ = writeln!(stderr, "hint: {}", ink::finish(hint, false));
    }
}
