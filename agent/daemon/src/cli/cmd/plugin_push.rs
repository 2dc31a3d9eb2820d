//! `plugin push`, and how a registry is approached: by `plugin install` too.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::super::args_plugin::RegistryArgs;
use super::super::exit::{DONE, Failure, Outcome};
use super::super::view::plugin_install as view;
use super::Session;
use super::plugin_install::configured;
use crate::install::{Candidate, InstallError, Source};
use crate::registry::{self, Access, Artifact, Authorities, Credentials, Login, Reference, ReferenceError};

/// Who asks and which authorities are believed, for whichever registry a reference names: what was given, or else what Docker's login
/// store has for its host. `configured`: `registry-ca-file` of [plugins].
pub(super) fn access(
    args: &RegistryArgs,
    configured: Option<&Path>,
) -> Result<impl Fn(&Reference) -> Access + use<>, Failure> {
    let unreadable = |file: &Path, error: std::io::Error| Failure::usage(format!("{}: {error}", file.display()));
    let given = args.credentials.as_deref();
    let given = given.map(|file| Credentials::read(file).map_err(|error| unreadable(file, error))).transpose()?;
    let file: Option<PathBuf> = args.ca_file.as_deref().or(configured).map(Path::to_path_buf);
    let authorities =
        file.map(|file| Authorities::read(&file).map_err(|error| unreadable(&file, error))).transpose()?;
    Ok(move |reference: &Reference| {
        let login = match &given {
            Some(credentials) => Login::Given(credentials.clone()),
            None => registry::docker_folder()
                .map_or(Login::Nobody, |folder| registry::docker_login(&folder, reference.host())),
        };
        Access { login, authorities: authorities.clone() }
    })
}

/// What lies in a registry now.
#[derive(Debug, Serialize)]
pub(in super::super) struct PushReport {
    pub(in super::super) plugin: String,
    pub(in super::super) version: String,
    /// Under its tag.
    pub(in super::super) reference: String,
    /// The same place by digest: what `plugin install` takes whatever becomes of the tag.
    pub(in super::super) pinned: String,
    /// SHA-256 of the component.
    pub(in super::super) digest: String,
    pub(in super::super) bytes: u64,
    pub(in super::super) signed: bool,
    /// The component lay there already.
    pub(in super::super) known: bool,
}

pub(super) fn push(it: &Session, file: &Path, reference: &str, registry: &RegistryArgs) -> Outcome {
    let reference: Reference =
        reference.parse().map_err(|error: ReferenceError| Failure::usage(error).hint(ReferenceError::HINT))?;
    if reference.digest().is_some() {
        return Err(Failure::usage("a digest is what comes out of it; name a tag").hint(ReferenceError::HINT));
    }
    let file = match Source::of(file)? {
        Source::One(file) => file,
        Source::Folder(all) => match all.as_slice() {
            [one] => one.clone(),
            _ => return Err(Failure::usage(format!("{} holds {} components; name one", file.display(), all.len()))),
        },
    };
    let access = access(registry, configured(it)?.registry_ca_file.as_deref())?;
    let candidate = Candidate::fetch(&file, |_| Access::default())?;
    // Whom this host trusts is not asked: who pushes may be anybody. A signature that is there has to be one, though.
    let (manifest, surface, digest) = candidate.read()?;
    it.out.progress(&format!("pushing to {reference}"));
    let artifact = Artifact {
        title: (manifest.id.clone(), manifest.version.clone(), manifest.description.clone()),
        imports: surface.imports,
        exports: surface.exports,
        signature: candidate.signature.clone(),
        component: candidate.component.clone(),
    };
    let pushed = registry::push(&reference, &artifact, &access(&reference)).map_err(InstallError::from)?;
    let report = PushReport {
        plugin: manifest.id,
        version: manifest.version,
        pinned: reference.at(&pushed.manifest).to_string(),
        reference: reference.to_string(),
        digest,
        bytes: candidate.component.len() as u64,
        signed: candidate.signature.is_some(),
        known: pushed.known,
    };
    it.out.document(&report, |_| view::pushed(&report))?;
    Ok(DONE)
}
