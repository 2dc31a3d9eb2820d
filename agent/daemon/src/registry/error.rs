//! Why a registry gave no plugin, or took none.

/// Each says which host, and what; [`RegistryError::hint`] what to do.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No connection, no TLS, or no answer in time.
    #[error("the registry {host} cannot be reached: {why}")]
    Unreachable {
        /// Host and port.
        host: String,
        /// Why.
        why: String,
    },
    /// It answered with an error.
    #[error("the registry {host} says {status} to {what}{}", said(.words))]
    Status {
        /// Host and port.
        host: String,
        /// HTTP's number.
        status: u16,
        /// What it was asked for.
        what: String,
        /// Its own words; may be empty.
        words: String,
    },
    /// It wants to know who asks.
    #[error("the registry {host} does not let this in: {why}")]
    Denied {
        /// Host and port.
        host: String,
        /// Why.
        why: String,
    },
    /// It led somewhere that is not followed.
    #[error("the registry {host} redirects to `{location}`, which is not followed: {why}")]
    Redirect {
        /// Host and port.
        host: String,
        /// Where to.
        location: String,
        /// Why not.
        why: &'static str,
    },
    /// Something that came is not what was named.
    #[error("{what} that {host} gave has the digest {found}, not {wanted}: it was damaged or exchanged on its way")]
    Digest {
        /// Host and port.
        host: String,
        /// `the manifest`, `the component`.
        what: &'static str,
        /// As it was named.
        wanted: String,
        /// As it came.
        found: String,
    },
    /// More than there is reason for.
    #[error("{what} of {host} has {bytes} bytes; {most} are allowed")]
    TooLarge {
        /// Host and port.
        host: String,
        /// What.
        what: &'static str,
        /// So many, or at least so many.
        bytes: u64,
        /// The bound.
        most: u64,
    },
    /// It is there and no plugin.
    #[error("{reference} is no plugin: {why}")]
    Shape {
        /// Which.
        reference: String,
        /// Why not.
        why: String,
    },
}

fn said(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!(": {words}") }
}

impl RegistryError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Unreachable { .. } => {
                "is the name right, and does the registry speak https with a certificate that this host believes? An authority of \
                 your own is named with --ca-file, or as `registry-ca-file` of [plugins]. Without a network, install the component \
                 from a file"
            }
            Self::Status { status: 404, .. } => "is there such a name and such a tag or digest?",
            Self::Denied { .. } => {
                "name a file whose first line is NAME:PASSWORD with --credentials, or log in with `docker login`"
            }
            Self::Shape { .. } => {
                "a plugin is put there with `holdfast plugin push`, or by a tool that knows CNCF's layout for WebAssembly"
            }
            Self::Digest { .. } => {
                "nothing was used of it; try again, and ask whoever runs the registry when it comes back"
            }
            _ => return None,
        };
        Some(text.to_owned())
    }

    /// Whether something was refused for what it is, and not for how the network is.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Digest { .. } | Self::Denied { .. } | Self::Redirect { .. })
    }
}
