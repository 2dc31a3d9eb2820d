//! Certificates out of a file's bytes: PEM with any number of blocks, or one certificate as DER. Pure.
//!
//! Blocks of another kind, above all private keys, are passed over undecoded, and nothing of them gets into an answer.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use holdfast_plugin_sdk::text;
use sha2::{Digest, Sha256};
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::Decode;

const LABELS: [&str; 2] = ["CERTIFICATE", "X509 CERTIFICATE"];
const DECODER: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What matters of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cert {
    /// `CN=shop.example`
    pub subject: String,
    /// `CN=R11,O=Let's Encrypt,C=US`
    pub issuer: String,
    /// In hexadecimal digits.
    pub serial: String,
    /// SHA-256 of the whole, in hexadecimal digits.
    pub sha256: String,
    /// Seconds since the epoch, and as text.
    pub not_before: (u64, String),
    /// Seconds since the epoch, and as text.
    pub not_after: (u64, String),
}

/// What a file holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Certificates, in order.
    pub certs: Vec<Cert>,
    /// Certificates that cannot be read, and why: `the 2nd certificate: …`.
    pub broken: Vec<String>,
}

/// Reads a file's bytes.
pub fn read(bytes: &[u8]) -> Contents {
    let mut contents = Contents::default();
    if bytes.first() == Some(&0x30) {
        match certificate(bytes) {
            Ok(cert) => contents.certs.push(cert),
            Err(why) => contents.broken.push(format!("the certificate: {why}")),
        }
        return contents;
    }
    let text = String::from_utf8_lossy(bytes);
    let mut block: Option<(String, Option<String>)> = None;
    let mut number = 0;
    for line in text.lines().map(str::trim) {
        if let Some(label) = line.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----")) {
            if let Some((_, Some(_))) = block {
                contents.broken.push(format!("certificate {number}: it has no end"));
            }
            let wanted = LABELS.contains(&label);
            number += usize::from(wanted);
            block = Some((label.to_owned(), wanted.then(String::new)));
        } else if let Some(label) = line.strip_prefix("-----END ").and_then(|rest| rest.strip_suffix("-----")) {
            if let Some((begun, Some(body))) = block.take() {
                let read = if begun == label { decoded(&body) } else { Err("it ends as something else".to_owned()) };
                match read {
                    Ok(cert) => contents.certs.push(cert),
                    Err(why) => contents.broken.push(format!("certificate {number}: {why}")),
                }
            }
        } else if let Some((_, Some(body))) = &mut block {
            body.push_str(line);
        }
    }
    if let Some((_, Some(_))) = block {
        contents.broken.push(format!("certificate {number}: it has no end"));
    }
    contents
}

fn decoded(body: &str) -> Result<Cert, String> {
    let der = DECODER.decode(body).map_err(|error| format!("it is not base64: {error}"))?;
    certificate(&der)
}

fn certificate(der: &[u8]) -> Result<Cert, String> {
    // What is odd about a serial number is for those who trust it; here it is only a name.
    let cert =
        CertificateInner::<Raw>::from_der(der).map_err(|error| format!("it is no X.509 certificate: {error}"))?;
    let it = cert.tbs_certificate();
    let time = |time: &x509_cert::time::Time| (time.to_unix_duration().as_secs(), time.to_date_time().to_string());
    Ok(Cert {
        subject: name(it.subject()),
        issuer: name(it.issuer()),
        serial: text::hex(it.serial_number().as_bytes()),
        sha256: text::hex(&Sha256::digest(der)),
        not_before: time(&it.validity().not_before),
        not_after: time(&it.validity().not_after),
    })
}

fn name(name: &x509_cert::name::Name) -> String {
    if name.is_empty() { "(no name)".to_owned() } else { text::line(&name.to_string()) }
}
