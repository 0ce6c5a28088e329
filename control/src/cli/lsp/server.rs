//! The conversation: what the editor says, one message after the other.

use super::files::{Files, Name};
use super::places::Columns;
use super::{answers, diagnostics};
use crate::cli::exit::Failure;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use lsp_server::{Connection, ErrorCode, Message, Notification, Request, Response};
use lsp_types::notification::{
    DidChangeTextDocument, DidChangeWatchedFiles, DidCloseTextDocument, DidOpenTextDocument,
    DidSaveTextDocument, Notification as _, PublishDiagnostics,
};
use lsp_types::request::{
    Completion, DocumentSymbolRequest, Formatting, GotoDefinition, HoverRequest, Request as _,
};
use lsp_types::{
    CompletionOptions, DidChangeTextDocumentParams, DidCloseTextDocumentParams, DidOpenTextDocumentParams,
    DocumentFormattingParams, DocumentSymbolParams, HoverProviderCapability, InitializeParams, OneOf,
    PublishDiagnosticsParams, ServerCapabilities, TextDocumentPositionParams, TextDocumentSyncCapability,
    TextDocumentSyncKind,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// For how long nothing is written before policies are linked and compiled together.
const PAUSE: Duration = Duration::from_millis(300);

/// What is served, and to whom.
struct Server<'a> {
    connection: &'a Connection,
    columns: Columns,
    files: Files,
    /// What was said last of each file, as long as something is to be said of it.
    said: BTreeMap<String, PublishDiagnosticsParams>,
    /// Whether what is wrong is to be found and said again.
    has_changed: bool,
    /// Whether what is wrong where policies meet is still to be found.
    is_partial: bool,
}

/// Serves until the editor shuts the server down.
///
/// # Errors
/// If the editor goes away before, or does not keep to the protocol.
pub(super) fn serve(connection: &Connection, folders: Vec<PathBuf>) -> Result<(), Failure> {
    let (id, asked) = connection.initialize_start().map_err(unexpected)?;
    let asked: InitializeParams = serde_json::from_value(asked)
        .map_err(|error| Failure::failed(format!("the editor's first message is not understood: {error}")))?;
    let columns = Columns::agreed(&asked);
    let about = json!({"name": "chancery", "version": env!("CARGO_PKG_VERSION")});
    let answer = json!({"capabilities": capabilities(columns), "serverInfo": about});
    connection.initialize_finish(id, answer).map_err(unexpected)?;
    let mut server = Server {
        connection,
        columns,
        files: Files::below(folders),
        said: BTreeMap::new(),
        has_changed: false,
        is_partial: false,
    };
    server.run()
}

fn capabilities(columns: Columns) -> ServerCapabilities {
    let triggers = [".", " ", "/"].map(str::to_owned).to_vec();
    ServerCapabilities {
        position_encoding: Some(columns.name()),
        text_document_sync: Some(TextDocumentSyncCapability::Kind(TextDocumentSyncKind::FULL)),
        hover_provider: Some(HoverProviderCapability::Simple(true)),
        definition_provider: Some(OneOf::Left(true)),
        document_formatting_provider: Some(OneOf::Left(true)),
        document_symbol_provider: Some(OneOf::Left(true)),
        completion_provider: Some(CompletionOptions {
            trigger_characters: Some(triggers),
            ..CompletionOptions::default()
        }),
        ..ServerCapabilities::default()
    }
}

fn unexpected(error: lsp_server::ProtocolError) -> Failure {
    Failure::failed(format!("the editor does not keep to the protocol: {error}"))
}

impl Server<'_> {
    fn run(&mut self) -> Result<(), Failure> {
        loop {
            // What was written meanwhile is taken in before anything is said of it.
            let message = match self.connection.receiver.try_recv() {
                Ok(message) => message,
                Err(_) if self.has_changed => {
                    self.say_what_is_wrong()?;
                    continue;
                }
                Err(_) => match self.connection.receiver.recv_timeout(PAUSE) {
                    Ok(message) => message,
                    Err(error) if error.is_timeout() => {
                        self.complete()?;
                        continue;
                    }
                    Err(_) => return Err(Failure::failed("the editor went away without an end")),
                },
            };
            match message {
                Message::Request(request) => {
                    if self.connection.handle_shutdown(&request).map_err(unexpected)? {
                        return Ok(());
                    }
                    let answer = self.answer(request);
                    self.send(answer.into())?;
                }
                Message::Notification(notification) => self.notice(notification),
                // Nothing is asked of the editor.
                Message::Response(_) => {}
            }
        }
    }

    fn send(&self, message: Message) -> Result<(), Failure> {
        self.connection
            .sender
            .send(message)
            .map_err(|_| Failure::failed("the editor does not listen any more"))
    }

    /// What the editor tells. What is not understood is logged, for nobody waits for an answer.
    fn notice(&mut self, notification: Notification) {
        let method = notification.method.clone();
        let told = match method.as_str() {
            DidOpenTextDocument::METHOD => {
                from(notification.params).map(|told: DidOpenTextDocumentParams| {
                    self.files.put(Name::of(&told.text_document.uri), told.text_document.text);
                })
            }
            DidChangeTextDocument::METHOD => {
                from(notification.params).map(|told: DidChangeTextDocumentParams| {
                    // Each change is a whole text, as was agreed; the last one counts.
                    if let Some(change) = told.content_changes.into_iter().next_back() {
                        self.files.put(Name::of(&told.text_document.uri), change.text);
                    }
                })
            }
            DidCloseTextDocument::METHOD => {
                from(notification.params).map(|told: DidCloseTextDocumentParams| {
                    self.files.close(&Name::of(&told.text_document.uri));
                })
            }
            DidSaveTextDocument::METHOD | DidChangeWatchedFiles::METHOD => {
                self.files.disk_changed();
                Ok(())
            }
            _ => return,
        };
        match told {
            Ok(()) => self.has_changed = true,
            Err(error) => tracing::warn!("`{method}` of the editor is not understood: {error}"),
        }
    }

    fn answer(&mut self, request: Request) -> Response {
        let Request { id, method, params } = request;
        match self.result(&method, params) {
            Some(Ok(result)) => Response::new_ok(id, result),
            Some(Err(error)) => Response::new_err(id, ErrorCode::InvalidParams as i32, error.to_string()),
            None => {
                Response::new_err(id, ErrorCode::MethodNotFound as i32, format!("`{method}` is not served"))
            }
        }
    }

    /// The result of a request; `None` if it is none that is served.
    fn result(&mut self, method: &str, params: Value) -> Option<Result<Value, serde_json::Error>> {
        let (columns, today) = (self.columns, today());
        let files = &mut self.files;
        let result = match method {
            HoverRequest::METHOD => at(params, |place| answers::hover(files, place, columns, today)),
            GotoDefinition::METHOD => at(params, |place| answers::definition(files, place, columns, today)),
            Completion::METHOD => at(params, |place| answers::completion(files, place, columns, today)),
            Formatting::METHOD => from(params).and_then(|asked: DocumentFormattingParams| {
                serde_json::to_value(answers::format(files, &asked.text_document.uri, columns))
            }),
            DocumentSymbolRequest::METHOD => from(params).and_then(|asked: DocumentSymbolParams| {
                serde_json::to_value(answers::outline(files, &asked.text_document.uri, columns, today))
            }),
            _ => return None,
        };
        Some(result)
    }

    /// Checks what has changed, and says what is wrong in it, and where nothing is wrong any more.
    fn say_what_is_wrong(&mut self) -> Result<(), Failure> {
        self.has_changed = false;
        self.is_partial = true;
        let today = today();
        let mut said = Vec::new();
        for group in self.files.groups() {
            let checked = self.files.checked(&group, today);
            said.extend(checked.into_iter().flat_map(|checked| diagnostics::of_files(checked, self.columns)));
        }
        self.publish(said)
    }

    /// Finds what is wrong where policies meet, after a pause.
    fn complete(&mut self) -> Result<(), Failure> {
        if !std::mem::take(&mut self.is_partial) {
            return Ok(());
        }
        let today = today();
        let mut said = Vec::new();
        for group in self.files.groups() {
            self.files.complete(&group, today)?;
            let checked = self.files.checked(&group, today);
            said.extend(checked.into_iter().flat_map(|checked| diagnostics::of_files(checked, self.columns)));
        }
        self.publish(said)
    }

    /// Says what is wrong in each of these files, unless that was said last, and that nothing is wrong any more in others.
    fn publish(&mut self, found: Vec<PublishDiagnosticsParams>) -> Result<(), Failure> {
        let now: BTreeMap<String, PublishDiagnosticsParams> =
            found.into_iter().map(|found| (found.uri.to_string(), found)).collect();
        let before = std::mem::replace(&mut self.said, now);
        let gone = before.iter().filter(|(name, _)| !self.said.contains_key(*name));
        let gone = gone.map(|(_, said)| PublishDiagnosticsParams { diagnostics: Vec::new(), ..said.clone() });
        let changed = self.said.iter().filter(|(name, found)| before.get(*name) != Some(found));
        for params in gone.chain(changed.map(|(_, found)| found.clone())) {
            self.send(Notification::new(PublishDiagnostics::METHOD.to_owned(), params).into())?;
        }
        Ok(())
    }
}

/// The day for shadow policies whose time may be over.
fn today() -> Date {
    Timestamp::now().to_zoned(TimeZone::UTC).date()
}

fn from<T: DeserializeOwned>(params: Value) -> Result<T, serde_json::Error> {
    serde_json::from_value(params)
}

/// What is asked of a place. Whatever else is said with it is of no concern.
fn at<T: Serialize>(
    params: Value,
    answer: impl FnOnce(&TextDocumentPositionParams) -> T,
) -> Result<Value, serde_json::Error> {
    let place = from(params)?;
    serde_json::to_value(answer(&place))
}
