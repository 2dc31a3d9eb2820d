//! `completions` and `man`: made from the command line's own description.

use std::path::Path;

use clap_complete::Shell;

use super::super::exit::{DONE, Failure, NO, Outcome};
use super::Session;

pub(super) fn completions(it: &Session, shell: Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut super::super::command(), "holdfast", &mut script);
    it.out.raw(&String::from_utf8_lossy(&script))?;
    Ok(DONE)
}

pub(super) fn man(it: &Session, dir: &Path) -> Outcome {
    let cannot = |e: std::io::Error| Failure::new(NO, format!("cannot write manual pages into {}: {e}", dir.display()));
    std::fs::create_dir_all(dir).map_err(cannot)?;
    clap_mangen::generate_to(super::super::command(), dir).map_err(cannot)?;
    it.out.remark(&format!("manual pages are in {}", dir.display()));
    Ok(DONE)
}
