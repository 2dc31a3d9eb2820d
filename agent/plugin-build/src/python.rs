//! Python: `componentize-py` puts the modules and an interpreter into one component; WASI is replaced by stubs that trap.

use std::path::PathBuf;

use crate::component::from_component;
use crate::error::BuildError;
use crate::folder::Folder;
use crate::{Output, pin, tools, wit};

/// The module that exports the roles.
const MODULE: &str = "plugin";

pub(crate) fn build(folder: &Folder) -> Result<Output, BuildError> {
    let world = pin::world(folder)?;
    // A folder that `plugin new` made names the tool's version in requirements.txt.
    let wanted = if folder.dir.join("requirements.txt").is_file() {
        "-r requirements.txt".to_owned()
    } else {
        format!("componentize-py=={}", pin::COMPONENTIZE_PY)
    };
    let install = format!(
        "`python3 -m venv .venv && .venv/bin/pip install {wanted}` in the folder; Python 3.10 or newer (Debian: python3-venv)"
    );
    let temp = tempfile::tempdir().map_err(|source| BuildError::Write { path: std::env::temp_dir(), source })?;
    let (wit_dir, out) = (temp.path().join("wit"), temp.path().join("out.wasm"));
    wit::write(&wit_dir)?;
    let own = folder.dir.join(".venv/bin/componentize-py");
    let tool = if own.is_file() { own } else { PathBuf::from("componentize-py") };
    let mut command = tools::program(tool, &folder.dir);
    command.arg("-d").arg(&wit_dir).args(["-w", world, "componentize", "--stub-wasi", MODULE, "-o"]).arg(&out);
    tools::output(&mut command, &install)?;
    let wasm = std::fs::read(&out).map_err(|source| BuildError::Read { path: out, source })?;
    Ok(Output { made: from_component(wasm, Some(&folder.manifest))?, dir: folder.dir.join("target/plugins") })
}
