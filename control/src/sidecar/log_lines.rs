//! Reads the lines that Envoy prints on standard error: its own log, in [`FORMAT`]. What it prints on standard output are
//! lines of logs, which the sinks take.

use tracing::Level;

/// The value of `--log-format`: level, component and message, by tabs.
pub const FORMAT: &str = "%l\t%n\t%v";

/// A line of Envoy's own log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine<'a> {
    /// How grave it is.
    pub level: Level,
    /// The part of Envoy that speaks; empty in the further lines of a long message.
    pub component: &'a str,
    /// What it says.
    pub message: &'a str,
}

/// Reads lines one after the other. A message of several lines keeps the level of its first.
#[derive(Debug)]
pub struct LogReader {
    level: Level,
}

impl Default for LogReader {
    /// What comes before the log is set up is a complaint about the command line or a crash.
    fn default() -> Self {
        Self { level: Level::ERROR }
    }
}

impl LogReader {
    /// Reads the next line, without its end.
    pub fn read<'a>(&mut self, line: &'a str) -> LogLine<'a> {
        let mut parts = line.splitn(3, '\t');
        if let (Some(level), Some(component), Some(message)) = (parts.next(), parts.next(), parts.next())
            && let Some(level) = level_of(level)
        {
            self.level = level;
            return LogLine { level, component, message };
        }
        LogLine { level: self.level, component: "", message: line }
    }
}

fn level_of(word: &str) -> Option<Level> {
    Some(match word {
        "trace" => Level::TRACE,
        "debug" => Level::DEBUG,
        "info" => Level::INFO,
        "warning" => Level::WARN,
        "error" | "critical" => Level::ERROR,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_components_and_messages_are_told_apart() {
        let mut reader = LogReader::default();
        let line = reader.read("warning\tconfig\tgRPC config for x rejected:\ta\tb");
        assert_eq!(
            line,
            LogLine { level: Level::WARN, component: "config", message: "gRPC config for x rejected:\ta\tb" }
        );
        assert_eq!(reader.read("critical\tmain\tno").level, Level::ERROR);
    }

    #[test]
    fn further_lines_of_a_message_keep_its_level() {
        let mut reader = LogReader::default();
        assert_eq!(reader.read("PARSE ERROR: Argument").level, Level::ERROR);
        reader.read("info\tmain\tfirst");
        assert_eq!(
            reader.read("  second"),
            LogLine { level: Level::INFO, component: "", message: "  second" }
        );
        assert_eq!(reader.read("a\tb\tc").level, Level::INFO);
        assert_eq!(reader.read("").message, "");
    }
}
