//! What can be typed after `plugin`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(super) enum Plugin {
    /// List the agent's plugins
    List,
    /// Make the folder of a new plugin, which builds and passes its own tests
    New {
        /// Its id, which is the folder's name too: a-z 0-9 and -
        name: String,
        /// The folder to make it in
        #[arg(long, value_name = "DIR", default_value = ".")]
        within: PathBuf,
        /// The SDK's folder [default: that of the checkout around it, or else a copy of this agent's own]
        #[arg(long, value_name = "DIR")]
        sdk: Option<PathBuf>,
    },
    /// Build a plugin's component, and print its size, roles, what it wants and the lowest agent that runs it
    Build {
        /// The plugin's folder, with plugin.toml
        #[arg(value_name = "DIR", default_value = ".")]
        dir: PathBuf,
        /// Where the component goes [default: target/plugins/ID.wasm of the folder or its workspace]
        #[arg(short, long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Fetch nothing
        #[arg(long)]
        offline: bool,
    },
    /// Show what a component wants, exports and imports, and who signed it, without running it
    Inspect {
        /// A component (.wasm)
        file: PathBuf,
    },
    /// Run a plugin's check now, and print its report: 0 nothing found, 1 something
    Run {
        /// The plugin's id
        id: String,
    },
    /// Play a plugin's cases in the real host, in the worlds that they describe: 0 all passed, 1 not. Needs no agent
    Test(PluginTest),
    /// Make a pair of keys for signing, as the minisign tool reads them
    Keygen {
        /// The secret key's file; the public one is FILE.pub
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        password: Password,
    },
    /// Sign a component, manifest included: writes FILE.minisig beside it
    Sign {
        /// A component (.wasm)
        file: PathBuf,
        /// The secret key
        #[arg(short, long, value_name = "FILE")]
        key: PathBuf,
        #[command(flatten)]
        password: Password,
    },
    /// Check a component's signature: 0 a trusted key's, 1 not. Trusted are the given keys, or else `[plugins] trusted-keys`
    Verify {
        /// A component (.wasm), with its signature beside it as FILE.minisig
        file: PathBuf,
        /// A public key, or the file that holds it; may be repeated
        #[arg(short, long = "key", value_name = "KEY")]
        keys: Vec<String>,
    },
}

/// What protects a secret key. Never a flag's value, which others could read in the list of processes.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Password {
    /// The file whose first line is the key's password
    #[arg(long, value_name = "FILE")]
    pub(super) password_file: Option<PathBuf>,
    /// The key has no password: whoever can read its file can sign
    #[arg(long)]
    pub(super) no_password: bool,
}

#[derive(Debug, Args)]
pub(super) struct PluginTest {
    /// The plugin's folder, with plugin.toml and cases/
    #[arg(value_name = "DIR", default_value = ".")]
    pub(super) dir: PathBuf,
    /// Its component; not built then [default: built, where the folder holds its source]
    #[arg(long, value_name = "FILE")]
    pub(super) component: Option<PathBuf>,
    /// Only cases whose name holds this
    #[arg(long = "case", value_name = "TEXT")]
    pub(super) filter: Option<String>,
    /// Keep the answers as they are now as the golden files; look at the difference before you commit it
    #[arg(long)]
    pub(super) bless: bool,
    /// Fetch nothing while building
    #[arg(long)]
    pub(super) offline: bool,
}
