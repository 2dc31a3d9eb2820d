//! Whose components the daemon loads: what somebody else signed, or was altered after signing, is never compiled, whatever lies in the cache.

use super::*;

/// Signs as the minisign tool does.
fn signed(pair: &minisign::KeyPair, component: &[u8]) -> String {
    minisign::sign(Some(&pair.pk), &pair.sk, component, Some("it"), None).unwrap().into_string()
}

fn pair() -> minisign::KeyPair {
    minisign::KeyPair::generate_unencrypted_keypair().unwrap()
}

impl Host {
    fn sign(&self, name: &str, signature: &str) {
        std::fs::write(self.path(&format!("plugins/{name}.wasm.minisig")), signature).unwrap();
    }
}

fn trusting(host: &Host, pair: &minisign::KeyPair, allow_unsigned: bool) -> PluginsOptions {
    let trust = Trust::new(&[pair.pk.to_base64()], &[], allow_unsigned).unwrap();
    PluginsOptions { admission: Arc::new(trust), ..host.options(BINARY) }
}

#[test]
fn only_what_a_trusted_key_signed_is_loaded() {
    let (host, ours, theirs) = (Host::new(), pair(), pair());
    let (medic, cert) = (guest("plugins/unit-medic.wasm"), guest("plugins/cert-expiry.wasm"));
    host.install("cert-expiry", &cert);
    host.sign("cert-expiry", &signed(&ours, &cert));
    host.install("unit-medic", &medic);
    for (signature, wanted) in [
        (None, "unit-medic.wasm: it is not signed; put its signature beside it"),
        (Some(signed(&theirs, &medic)), "unit-medic.wasm: it is signed by the key "),
        (Some(signed(&ours, &cert)), "does not fit: the component or its manifest was altered after signing"),
        (Some("untrusted comment: x\nnonsense\n".to_owned()), "unit-medic.wasm: its signature cannot be used"),
    ] {
        if let Some(signature) = &signature {
            host.sign("unit-medic", signature);
        }
        let (states, problems) = host.states(&trusting(&host, &ours, false));
        assert!(problems.contains(wanted) && problems.lines().count() == 1, "{problems}");
        assert_eq!(states, [state("cert-expiry", "ready"), state("unit-medic", "refused")]);
        assert_eq!(host.kept().len(), 1, "what is refused was compiled");
    }
}

#[test]
fn a_manifest_that_was_swapped_after_signing_is_refused_and_the_cache_does_not_help_it() {
    let (host, ours) = (Host::new(), pair());
    let medic = guest("plugins/unit-medic.wasm");
    host.install("unit-medic", &medic);
    host.sign("unit-medic", &signed(&ours, &medic));
    assert_eq!(host.states(&trusting(&host, &ours, true)).0, [state("unit-medic", "ready")]);
    // One letter of the manifest, which lies in the component as text.
    let mut swapped = medic.clone();
    let at = swapped.windows(15).rposition(|it| it == b"description = \"").unwrap();
    swapped[at + 15] ^= 0x20;
    std::fs::write(host.path("plugins/unit-medic.wasm"), &swapped).unwrap();
    for lenient in [false, true] {
        let (states, problems) = host.states(&trusting(&host, &ours, lenient));
        assert!(problems.contains("altered after signing; get both again"), "{problems}");
        assert_eq!(states, [state("unit-medic", "refused")]);
    }
}
