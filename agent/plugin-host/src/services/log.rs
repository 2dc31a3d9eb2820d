//! `log`: kept, cut, counted; never a reason to end a call.

use super::Room;
use crate::bindings::log::{Host, Level};
use crate::bindings::types::Label;
use crate::call::{LogLevel, LogLine};
use crate::guest::one_line;
use crate::limits::{LINE_BYTES_MAX, LOG_FIELDS_MAX, LOG_LINE_BYTES_MAX, LOG_LINES_MAX};

impl Host for Room {
    fn log(&mut self, level: Level, message: String, fields: Vec<Label>) -> wasmtime::Result<()> {
        let level = match level {
            Level::Trace => LogLevel::Trace,
            Level::Debug => LogLevel::Debug,
            Level::Info => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
            Level::Error => LogLevel::Error,
        };
        if self.log.len() >= LOG_LINES_MAX {
            self.cost.log_lines_dropped += 1;
            // A panic's words come last and say most: they replace the last line.
            if level < LogLevel::Error {
                return Ok(());
            }
            self.log.pop();
        }
        let cut = message.len() > LOG_LINE_BYTES_MAX
            || fields.len() > LOG_FIELDS_MAX
            || fields.iter().any(|f| f.key.len() > LINE_BYTES_MAX || f.value.len() > LINE_BYTES_MAX);
        self.cost.log_lines_cut += u64::from(cut);
        let fields = fields
            .into_iter()
            .take(LOG_FIELDS_MAX)
            .map(|f| (one_line(&f.key, LINE_BYTES_MAX), one_line(&f.value, LINE_BYTES_MAX)))
            .collect();
        self.log.push(LogLine { level, message: one_line(&message, LOG_LINE_BYTES_MAX), fields });
        Ok(())
    }
}
