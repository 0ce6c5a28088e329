//! Reads the `sh` blocks of documents, as far as they call `chancery`.

/// The words of each call of `chancery` in a block: also of `cargo run … -- …`, of `$(chancery …)` and of
/// calls in a pipe. The first word is always `chancery`.
pub(crate) fn chancery_calls(block: &str) -> Vec<Vec<String>> {
    let joined = block.replace("\\\n", " ");
    let mut calls = Vec::new();
    for line in joined.lines() {
        let mut words = Vec::new();
        for token in tokens(line) {
            match token {
                Token::Word(word) => words.push(word),
                Token::End => calls.extend(call(std::mem::take(&mut words))),
            }
        }
        calls.extend(call(words));
    }
    calls
}

/// The call that these words are, if they call `chancery`.
fn call(words: Vec<String>) -> Option<Vec<String>> {
    let assignments = words.iter().take_while(|word| word.contains('=') && !word.starts_with('-')).count();
    let words = words.get(assignments..)?;
    let arguments = match words {
        [program, arguments @ ..] if program == "chancery" => arguments,
        [cargo, run, rest @ ..] if cargo == "cargo" && run == "run" => {
            let at = rest.iter().position(|word| word == "--")?;
            rest.get(at + 1..)?
        }
        _ => return None,
    };
    // A redirection and its file are the shell's.
    let end = arguments.iter().position(|word| word == ">" || word == "<" || word == "2>");
    let arguments = arguments.get(..end.unwrap_or(arguments.len()))?;
    Some(std::iter::once("chancery".to_owned()).chain(arguments.iter().cloned()).collect())
}

enum Token {
    Word(String),
    /// Behind it another command begins.
    End,
}

fn tokens(line: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for character in line.chars() {
        match (quote, character) {
            (Some(open), close) if open == close => quote = None,
            (Some(_), inside) => word.get_or_insert_default().push(inside),
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, ' ' | '\t') => tokens.extend(word.take().map(Token::Word)),
            (None, '|' | ';' | '&' | '(' | ')') => {
                // `$(` begins a command; its `$` is not a word of the outer one.
                let outer = word.take().filter(|word| word != "$");
                tokens.extend(outer.map(Token::Word));
                tokens.push(Token::End);
            }
            (None, other) => word.get_or_insert_default().push(other),
        }
    }
    tokens.extend(word.map(Token::Word));
    tokens
}

#[test]
fn calls_are_found_in_pipes_substitutions_and_behind_cargo() {
    let block = "A=1 chancery check 'a b' \\\n  c > out # chancery no\n\
        $(chancery envoy path) -c x.yaml\ncargo run --release -- demo\ncurl x | chancery fmt -\n";
    let words: Vec<String> = chancery_calls(block).iter().map(|call| call.join("|")).collect();
    assert_eq!(words, ["chancery|check|a b|c", "chancery|envoy|path", "chancery|demo", "chancery|fmt|-"]);
}
