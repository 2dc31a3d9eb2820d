//! JavaScript: `componentize-js` puts the module and an engine into one component, without any of WASI.

use std::path::PathBuf;

use serde_json::Value;

use crate::component::from_component;
use crate::error::BuildError;
use crate::folder::Folder;
use crate::{Output, pin, tools, wit};

/// What the tool is told: the arguments are source, WIT, world and where the component goes. Node looks for what a script given as an
/// argument imports from the present directory, which is the plugin's folder.
const SCRIPT: &str = r#"
import { writeFile } from "node:fs/promises";
import { componentize } from "@bytecodealliance/componentize-js";
const [sourcePath, witPath, worldName, out] = process.argv.slice(1);
const { component } = await componentize({
  sourcePath, witPath, worldName,
  disableFeatures: ["random", "stdio", "clocks", "http", "fetch-event"],
});
await writeFile(out, component);
"#;

pub(crate) fn build(folder: &Folder) -> Result<Output, BuildError> {
    let world = pin::world(folder)?;
    let source = source(folder)?;
    let install = format!(
        "`npm install` in the folder, with \"@bytecodealliance/componentize-js\": \"{}\" among devDependencies of package.json; \
         Node.js 18 or newer (https://nodejs.org, Debian: nodejs and npm)",
        pin::COMPONENTIZE_JS
    );
    if !folder.dir.join("node_modules/@bytecodealliance/componentize-js").is_dir() {
        return Err(BuildError::Missing { program: "componentize-js".to_owned(), install });
    }
    let temp = tempfile::tempdir().map_err(|source| BuildError::Write { path: std::env::temp_dir(), source })?;
    let (wit_dir, out) = (temp.path().join("wit"), temp.path().join("out.wasm"));
    wit::write(&wit_dir)?;
    let mut node = tools::program("node", &folder.dir);
    node.args(["--input-type=module", "--eval", SCRIPT, "--"]);
    tools::output(node.arg(&source).arg(&wit_dir).arg(world).arg(&out), &install)?;
    let wasm = std::fs::read(&out).map_err(|source| BuildError::Read { path: out, source })?;
    Ok(Output { made: from_component(wasm, Some(&folder.manifest))?, dir: folder.dir.join("target/plugins") })
}

/// `main` of package.json.
fn source(folder: &Folder) -> Result<PathBuf, BuildError> {
    let file = folder.dir.join("package.json");
    let text = std::fs::read_to_string(&file).map_err(|source| BuildError::Read { path: file.clone(), source })?;
    let package: Value = serde_json::from_str(&text)
        .map_err(|error| BuildError::Folder { path: file.clone(), why: error.to_string() })?;
    let main = package["main"].as_str().unwrap_or("plugin.js");
    let source = folder.dir.join(main);
    if source.is_file() {
        return Ok(source);
    }
    Err(BuildError::Folder { path: file, why: format!("`main` is `{main}`, and there is no such file") })
}
