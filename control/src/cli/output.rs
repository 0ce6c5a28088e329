//! In which form a command says what it has to say: text for people, or the API's JSON for programs.

use crate::cli::exit::Failure;
use clap::{Args, ValueEnum};
use serde::Serialize;

/// The form of the output.
#[derive(Args, Clone, Copy, Debug)]
pub struct OutputArguments {
    /// The form of the output
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t = Form::Text)]
    output: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people
    Text,
    /// What the API answers
    Json,
}

impl OutputArguments {
    /// Whether a program reads it.
    #[must_use]
    pub fn is_json(self) -> bool {
        self.output == Form::Json
    }

    /// A value in that form.
    ///
    /// # Errors
    /// If a value cannot be written as JSON, which is a fault of chancery.
    pub fn render<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> String) -> Result<String, Failure> {
        match self.output {
            Form::Text => Ok(text(value)),
            Form::Json => {
                let json = serde_json::to_string_pretty(value);
                json.map(|json| format!("{json}\n")).map_err(|error| Failure::failed(error.to_string()))
            }
        }
    }
}
