//! The table: a keyword, what sshd does without it (OpenSSH 9), what is bad, and why. Pure.

use holdfast_plugin_sdk::{Severity, glob};

/// One row.
pub struct Rule {
    /// As the manual writes it.
    pub keyword: &'static str,
    /// sshd's own value.
    pub default: &'static str,
    /// What to write instead.
    pub wanted: &'static str,
    /// How bad.
    pub severity: Severity,
    /// Why, in one line.
    pub why: &'static str,
    bad: fn(&str) -> bool,
}

impl Rule {
    /// Whether this value is one to warn of.
    pub fn is_bad(&self, value: &str) -> bool {
        (self.bad)(&value.to_ascii_lowercase())
    }
}

fn yes(value: &str) -> bool {
    matches!(value, "yes" | "true")
}

fn no(value: &str) -> bool {
    matches!(value, "no" | "false")
}

const CIPHERS: [&str; 6] = ["3des-cbc", "aes128-cbc", "aes192-cbc", "aes256-cbc", "arcfour", "blowfish-cbc"];
const MACS: [&str; 4] = ["hmac-md5", "hmac-md5-96", "hmac-sha1-96", "hmac-md5-etm@openssh.com"];
const KEX: [&str; 3] =
    ["diffie-hellman-group1-sha1", "diffie-hellman-group14-sha1", "diffie-hellman-group-exchange-sha1"];
const KEYS: [&str; 3] = ["ssh-dss", "ssh-rsa", "ssh-rsa-cert-v01@openssh.com"];

/// Whether a list of algorithms lets one of these in. `-` takes away from sshd's own list, which has none of them; `+` and `^` add.
fn names(value: &str, weak: &[&str]) -> bool {
    if value.starts_with('-') {
        return false;
    }
    let list = value.trim_start_matches(['+', '^']);
    list.split(',').any(|pattern| weak.iter().any(|name| glob::matches(pattern.trim(), name)))
}

/// A whole number, or a time such as `2m`; 0 is none.
fn number(value: &str) -> Option<u32> {
    value.trim_end_matches(|c: char| c.is_ascii_alphabetic()).parse().ok()
}

/// All rows.
pub const RULES: &[Rule] = &[
    Rule {
        keyword: "PermitEmptyPasswords",
        default: "no",
        wanted: "no",
        severity: Severity::Critical,
        why: "an account without a password lets anybody in",
        bad: yes,
    },
    Rule {
        keyword: "PermitRootLogin",
        default: "prohibit-password",
        wanted: "prohibit-password or no",
        severity: Severity::High,
        why: "root's password can be guessed from the network, and the log does not say who it was",
        bad: yes,
    },
    Rule {
        keyword: "StrictModes",
        default: "yes",
        wanted: "yes",
        severity: Severity::High,
        why: "keys in files that others may write are taken for the user's own",
        bad: no,
    },
    Rule {
        keyword: "PasswordAuthentication",
        default: "yes",
        wanted: "no",
        severity: Severity::Medium,
        why: "passwords can be guessed from the network, keys cannot",
        bad: yes,
    },
    Rule {
        keyword: "KbdInteractiveAuthentication",
        default: "yes",
        wanted: "no, unless it asks for a second factor",
        severity: Severity::Medium,
        why: "with PAM it asks for the password as PasswordAuthentication does",
        bad: yes,
    },
    Rule {
        keyword: "HostbasedAuthentication",
        default: "no",
        wanted: "no",
        severity: Severity::Medium,
        why: "whoever holds another host's key is let in as any of its users",
        bad: yes,
    },
    Rule {
        keyword: "IgnoreRhosts",
        default: "yes",
        wanted: "yes",
        severity: Severity::Medium,
        why: "users may let other hosts in by a file of their own",
        bad: no,
    },
    Rule {
        keyword: "PermitUserEnvironment",
        default: "no",
        wanted: "no",
        severity: Severity::Medium,
        why: "LD_PRELOAD in a user's file gets around a forced command",
        bad: |value| !no(value),
    },
    Rule {
        keyword: "GatewayPorts",
        default: "no",
        wanted: "no",
        severity: Severity::Medium,
        why: "a user's forwarded port is open to the whole network",
        bad: |value| !no(value),
    },
    Rule {
        keyword: "LogLevel",
        default: "INFO",
        wanted: "INFO or VERBOSE",
        severity: Severity::Medium,
        why: "logins leave no trace",
        bad: |value| matches!(value, "quiet" | "fatal" | "error"),
    },
    Rule {
        keyword: "Ciphers",
        default: "",
        wanted: "no list, or one without CBC modes, 3DES and arcfour",
        severity: Severity::Medium,
        why: "what is sent can be read or altered by whoever stands in between",
        bad: |value| names(value, &CIPHERS),
    },
    Rule {
        keyword: "MACs",
        default: "",
        wanted: "no list, or one without MD5 and cut digests",
        severity: Severity::Medium,
        why: "what is sent can be altered by whoever stands in between",
        bad: |value| names(value, &MACS),
    },
    Rule {
        keyword: "KexAlgorithms",
        default: "",
        wanted: "no list, or one without SHA-1",
        severity: Severity::Medium,
        why: "keys agreed on with SHA-1 and small groups can be found out",
        bad: |value| names(value, &KEX),
    },
    Rule {
        keyword: "HostKeyAlgorithms",
        default: "",
        wanted: "no list, or one without ssh-rsa (SHA-1) and ssh-dss",
        severity: Severity::Medium,
        why: "signatures over SHA-1 can be forged",
        bad: |value| names(value, &KEYS),
    },
    Rule {
        keyword: "PubkeyAcceptedAlgorithms",
        default: "",
        wanted: "no list, or one without ssh-rsa (SHA-1) and ssh-dss",
        severity: Severity::Medium,
        why: "signatures over SHA-1 can be forged",
        bad: |value| names(value, &KEYS),
    },
    Rule {
        keyword: "MaxAuthTries",
        default: "6",
        wanted: "6 or fewer",
        severity: Severity::Low,
        why: "one connection may guess more often",
        bad: |value| number(value).is_some_and(|tries| tries > 6),
    },
    Rule {
        keyword: "LoginGraceTime",
        default: "120",
        wanted: "a time above 0",
        severity: Severity::Low,
        why: "connections that never log in are held for ever, until no other is let in",
        bad: |value| number(value) == Some(0),
    },
    Rule {
        keyword: "X11Forwarding",
        default: "no",
        wanted: "no, unless graphical programs run here",
        severity: Severity::Low,
        why: "programs here may watch the keyboard of whoever logs in",
        bad: yes,
    },
];
