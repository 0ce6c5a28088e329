//! The modules of the transcript about filters: each is what its text says.

use super::transcript::folder;
use std::fs;

#[test]
fn the_modules_of_the_transcript_are_their_texts() {
    let mut modules = 0;
    for entry in fs::read_dir(folder().join("filters")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "wat") {
            let bytes = wat::parse_file(&path).unwrap();
            let module = path.with_extension("wasm");
            if std::env::var_os("UPDATE_CASES").is_some() {
                fs::write(&module, &bytes).unwrap();
            }
            assert!(fs::read(&module).unwrap() == bytes, "{}: UPDATE_CASES=1 compiles it", module.display());
            modules += 1;
        }
    }
    assert!(modules >= 4, "only {modules} modules were found");
}
