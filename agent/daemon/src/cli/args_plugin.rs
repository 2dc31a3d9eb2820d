//! What can be typed after `plugin`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use holdfast_core::model::Interval;

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
        /// What it is written in; `rust` needs the Rust toolchain, `javascript` Node.js and npm, `python` Python and pip
        #[arg(short, long, value_name = "LANGUAGE", default_value = "rust", value_parser = ["rust", "javascript", "python"])]
        language: String,
        /// For rust: the SDK's folder [default: that of the checkout around it, or else a copy of this agent's own]
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
    /// Install a plugin or upgrade it: checked first, shown, and asked about; then placed, granted, and taken up by the agent
    Install(PluginInstall),
    /// Use a plugin again that was switched off
    Enable {
        /// The plugin's id
        id: String,
        /// How long to wait for the agent
        #[arg(long, value_name = "SPAN", default_value = "1m")]
        wait: Interval,
    },
    /// Switch a plugin off: it is neither loaded nor called, after a restart neither. Its grant stays
    Disable {
        /// The plugin's id
        id: String,
        /// How long to wait for the agent
        #[arg(long, value_name = "SPAN", default_value = "1m")]
        wait: Interval,
    },
    /// Take a plugin's component and signature away. Its grant and what it keeps stay, unless --purge
    Remove {
        /// The plugin's id
        id: String,
        /// Its grant, its state and what the agent remembers of it too
        #[arg(long)]
        purge: bool,
        /// Ask nothing
        #[arg(short, long)]
        yes: bool,
        /// How long to wait for the agent
        #[arg(long, value_name = "SPAN", default_value = "1m")]
        wait: Interval,
    },
    /// Let a quarantined plugin be called again at once: what it did is forgotten, and the audit record says who
    LiftQuarantine {
        /// The plugin's id
        id: String,
        /// Why; goes into the audit chain
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Put a component, with its signature where there is one, into an OCI registry
    Push {
        /// A component (.wasm)
        file: PathBuf,
        /// oci://HOST[:PORT]/NAME[:TAG]
        reference: String,
        #[command(flatten)]
        registry: RegistryArgs,
    },
    /// Run an installed plugin's check now, and print its report: 0 nothing found, 1 something. Without an id: build the plugin of a
    /// folder, ask it what its cases ask, and print the whole answers; needs no agent
    Run {
        /// The plugin's id
        id: Option<String>,
        /// The plugin's folder, with plugin.toml and cases/
        #[arg(long, value_name = "DIR", default_value = ".", conflicts_with = "id")]
        dir: PathBuf,
        /// Again after each change of the folder, until interrupted
        #[arg(long, conflicts_with = "id")]
        watch: bool,
        /// Fetch nothing while building
        #[arg(long, conflicts_with = "id")]
        offline: bool,
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
pub(super) struct PluginInstall {
    /// A component (.wasm, with FILE.minisig beside it), a folder of such components, a plugin's folder that was built, or
    /// oci://HOST[:PORT]/NAME[:TAG|@sha256:…]
    pub(super) source: PathBuf,
    /// Ask nothing; needed where there is no terminal
    #[arg(short, long)]
    pub(super) yes: bool,
    /// Agree to what an upgrade asks for more than its former version, and to what a first grant would give without bounds, and grant it
    #[arg(long)]
    pub(super) accept_permissions: bool,
    /// Let an older version replace a newer one
    #[arg(long)]
    pub(super) allow_older: bool,
    /// SHA-256 of the component; another one is refused, and the grant is bound to it
    #[arg(long, value_name = "DIGEST", value_parser = digest)]
    pub(super) digest: Option<String>,
    /// Which of `[plugins] dirs` it goes to [default: the last that no package owns]
    #[arg(long, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
    /// Write no grant where there is none: the plugin is listed and never called
    #[arg(long)]
    pub(super) no_grant: bool,
    /// Check and show everything, and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    #[command(flatten)]
    pub(super) registry: RegistryArgs,
    /// How long to wait for the agent to take it up
    #[arg(long, value_name = "SPAN", default_value = "1m")]
    pub(super) wait: Interval,
}

/// How a registry is approached.
#[derive(Debug, Args)]
pub(super) struct RegistryArgs {
    /// The file whose first line is NAME:PASSWORD for the registry [default: what `docker login` has kept for it]
    #[arg(long, value_name = "FILE")]
    pub(super) credentials: Option<PathBuf>,
    /// Certificates of authorities to believe beside the host's, in PEM [default: `registry-ca-file` of [plugins]]
    #[arg(long, value_name = "FILE")]
    pub(super) ca_file: Option<PathBuf>,
}

/// `sha256:` may stand before it.
fn digest(text: &str) -> Result<String, String> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text).to_ascii_lowercase();
    if hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(hex);
    }
    Err("write the 64 hexadecimal digits of a SHA-256, as `holdfast plugin inspect` shows them".to_owned())
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
