// Starts `chancery lsp` for files of Writ and stops it with the editor.
const { workspace } = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

exports.activate = async () => {
  const settings = workspace.getConfiguration("writ");
  const folders = settings.get("folders").map((folder) => {
    const root = workspace.workspaceFolders?.[0]?.uri.fsPath;
    return root ? require("path").resolve(root, folder) : folder;
  });
  const server = { command: settings.get("command"), args: ["lsp", ...folders] };
  const files = workspace.createFileSystemWatcher("**/*.writ");
  client = new LanguageClient("writ", "Writ", server, {
    documentSelector: [{ language: "writ" }],
    synchronize: { fileEvents: files },
  });
  await client.start();
};

exports.deactivate = () => client?.stop();
