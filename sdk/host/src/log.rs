//! Lines that a module wrote to the log.

use crate::abi::LogLevel;
use crate::limits::LOG_LINES_MAX;
use std::collections::VecDeque;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How grave.
    pub level: LogLevel,
    /// The context that wrote it: the root or a stream.
    pub context: u32,
    /// The text; bytes that are not UTF-8 are replaced.
    pub message: String,
}

/// The newest [`LOG_LINES_MAX`] lines at or above a level.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) level: LogLevel,
    lines: VecDeque<LogLine>,
}

impl Log {
    pub(crate) fn new(level: LogLevel) -> Self {
        Self { level, lines: VecDeque::new() }
    }

    pub(crate) fn write(&mut self, level: LogLevel, context: u32, message: &[u8]) {
        if level < self.level {
            return;
        }
        if self.lines.len() == LOG_LINES_MAX {
            self.lines.pop_front();
        }
        let message = String::from_utf8_lossy(message).into_owned();
        self.lines.push_back(LogLine { level, context, message });
    }

    /// The newest line that is at least an error.
    pub(crate) fn last_error(&self) -> Option<&str> {
        let newest = self.lines.iter().rev().find(|line| line.level >= LogLevel::Error);
        newest.map(|line| line.message.as_str())
    }

    pub(crate) fn take(&mut self) -> Vec<LogLine> {
        std::mem::take(&mut self.lines).into()
    }
}
