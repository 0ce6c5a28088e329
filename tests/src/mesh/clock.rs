//! Clocks that are wrong: of single processes, while that of the machine is right.
//!
//! A small library that the loader puts before the system's answers in its place (`clock.c`); it is compiled when it is
//! wanted, by the C compiler that links Rust programs, too.

use anyhow::{Context as _, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = include_str!("clock.c");

/// The wall clock of a process and its children. Its clones are one.
#[derive(Clone, Debug)]
pub struct Clock {
    library: PathBuf,
    /// Says by how many seconds it is ahead.
    file: PathBuf,
}

impl Clock {
    /// A clock that is right, with files in this folder.
    ///
    /// # Errors
    /// When there is no C compiler.
    pub fn new(folder: &Path, name: &str) -> Result<Self> {
        let source = folder.join(format!("{name}-clock.c"));
        let library = source.with_extension("so");
        std::fs::write(&source, SOURCE)?;
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .output()
            .context("the C compiler `cc` cannot be run")?;
        ensure!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        let clock = Self { library, file: source.with_extension("seconds") };
        clock.set(0)?;
        Ok(clock)
    }

    /// Sets it ahead of the clock of the machine, or back.
    ///
    /// # Errors
    /// When the folder is gone.
    pub fn set(&self, seconds: i64) -> Result<()> {
        // By a rename: a process that looks meanwhile sees one or the other.
        let new = self.file.with_extension("new");
        std::fs::write(&new, seconds.to_string())?;
        Ok(std::fs::rename(&new, &self.file)?)
    }

    /// What makes a process go by it.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, &Path); 2] {
        [("LD_PRELOAD", &self.library), ("CHANCERY_TEST_CLOCK", &self.file)]
    }
}
