//! Against a registry that misbehaves in the way that a test says: what is believed, where things lead, and who is told what.
//! The real one is in `tests/registry`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::wire::{self, Config, Descriptor, Interface, Manifest};
use super::*;

const COMPONENT: &[u8] = b"the component";

/// Path to status, headers and body.
type Answers = BTreeMap<String, (u16, Vec<(String, String)>, Vec<u8>)>;

/// A server of fixed answers, on a thread that ends with the test's process.
#[derive(Clone)]
struct Server {
    host: String,
    answers: Arc<Mutex<Answers>>,
    /// What was asked, with who asked: `GET /v2/… Bearer abc`.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let server = Self { host, answers: Arc::default(), asked: Arc::default() };
        let it = server.clone();
        std::thread::spawn(move || listener.incoming().for_each(|stream| drop(it.serve(stream.unwrap()))));
        server
    }

    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
        let headers: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        let value = |name: &str| {
            headers.iter().find_map(|line| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name)))
        };
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let method = first.split(' ').next().unwrap_or_default();
        let who = value("authorization").map_or("nobody", |(_, value)| value);
        self.asked.lock().unwrap().push(format!("{method} {path} {who}"));
        let answers = self.answers.lock().unwrap();
        let key = if who == "nobody" { path.clone() } else { format!("{path} {who}") };
        let none = (404, Vec::new(), Vec::new());
        let (status, headers, body) = answers.get(&key).or_else(|| answers.get(&path)).unwrap_or(&none);
        let mut head = format!("HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
        head.extend(headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")));
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        if method != "HEAD" {
            stream.write_all(body)?;
        }
        stream.flush()?;
        // What the client has still to say is read, or its end of the connection would be reset.
        stream.shutdown(std::net::Shutdown::Write)?;
        stream.read_to_end(&mut Vec::new()).map(drop)
    }

    fn put(&self, path: &str, status: u16, headers: &[(&str, &str)], body: &[u8]) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.answers.lock().unwrap().insert(path.to_owned(), (status, headers, body.to_vec()));
    }

    /// A plugin under the tag 1; gives its manifest.
    fn offer(&self) -> Manifest {
        let layer = Descriptor::of(wire::COMPONENT, COMPONENT);
        let config = Config {
            created: "1970-01-01T00:00:00Z".into(),
            author: None,
            architecture: "wasm".into(),
            os: "wasip2".into(),
            layer_digests: vec![layer.digest.clone()],
            component: Some(Interface { exports: vec![], imports: vec![], target: None }),
        };
        let config = serde_json::to_vec(&config).unwrap();
        let manifest = Manifest {
            schema_version: 2,
            media_type: None,
            config: Descriptor::of(wire::CONFIG, &config),
            layers: vec![layer],
            annotations: BTreeMap::from([(wire::SIGNATURE.to_owned(), "signed".to_owned())]),
        };
        self.put(&format!("/v2/x/blobs/{}", manifest.config.digest), 200, &[], &config);
        self.put(&blob(), 200, &[], COMPONENT);
        self.name("1", &manifest);
        manifest
    }

    fn name(&self, tag: &str, manifest: &Manifest) {
        let text = serde_json::to_vec(manifest).unwrap();
        self.put(&format!("/v2/x/manifests/{tag}"), 200, &[("content-type", wire::MANIFEST)], &text);
    }

    fn pull(&self) -> Result<Pulled, RegistryError> {
        self.pull_as(&Access::default())
    }

    fn pull_as(&self, access: &Access) -> Result<Pulled, RegistryError> {
        pull(&format!("oci://{}/x:1", self.host).parse().unwrap(), access)
    }

    #[track_caller]
    fn refuses(&self, wanted: &str) {
        let error = self.pull().unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }

    fn asked(&self) -> String {
        self.asked.lock().unwrap().join("\n")
    }
}

#[test]
fn what_is_named_is_what_comes() {
    let server = Server::start();
    let manifest = server.offer();
    let pulled = server.pull().unwrap();
    assert_eq!((pulled.component.as_slice(), pulled.signature.as_deref()), (COMPONENT, Some("signed")));
    assert_eq!(pulled.manifest, wire::digest(&serde_json::to_vec(&manifest).unwrap()));
    assert!(pulled.notes.is_empty(), "{:?}", pulled.notes);
}

#[test]
fn bytes_that_were_exchanged_on_their_way_are_found_out() {
    let server = Server::start();
    let mut manifest = server.offer();
    server.put(&blob(), 200, &[], b"tHe component");
    server.refuses("the component that");
    // Shorter and longer than the descriptor says.
    server.put(&blob(), 200, &[], b"the");
    server.refuses("has the digest");
    server.put(&blob(), 200, &[], &COMPONENT.repeat(100));
    server.refuses("13 are allowed");
    server.offer();
    let text = serde_json::to_vec(&manifest).unwrap();
    let other = wire::digest(b"other");
    server.put("/v2/x/manifests/1", 200, &[("docker-content-digest", &other)], &text);
    server.refuses("the manifest that");
    // A config of another component.
    manifest.layers[0] = Descriptor::of(wire::COMPONENT, b"other");
    server.put(&format!("/v2/x/blobs/{other}"), 200, &[], b"other");
    server.name("1", &manifest);
    server.refuses("names other layers");
}

#[test]
fn a_manifest_that_is_pinned_is_the_one_that_counts() {
    let server = Server::start();
    let manifest = server.offer();
    let digest = wire::digest(&serde_json::to_vec(&manifest).unwrap());
    let pinned =
        |digest: &str| pull(&format!("oci://{}/x:1@{digest}", server.host).parse().unwrap(), &Access::default());
    server.name(&digest, &manifest);
    // The tag has not moved.
    server.put("/v2/x/manifests/1", 200, &[("docker-content-digest", &digest)], b"");
    assert!(pinned(&digest).unwrap().notes.is_empty());
    // It has.
    let other = wire::digest(b"other");
    server.put("/v2/x/manifests/1", 200, &[("docker-content-digest", &other)], b"");
    let notes = pinned(&digest).unwrap().notes;
    assert!(notes[0].contains("has moved") && notes[0].contains(&other), "{notes:?}");
    // The registry gives another manifest under the pinned digest.
    server.name(&other, &manifest);
    assert!(matches!(pinned(&other), Err(RegistryError::Digest { what: "the manifest", .. })));
}

#[test]
fn what_is_no_plugin_says_so() {
    let server = Server::start();
    server.put("/v2/x/manifests/1", 200, &[("content-type", wire::INDEX)], b"{}");
    server.refuses("an index of several");
    server.put("/v2/x/manifests/1", 200, &[], b"<html>");
    server.refuses("cannot be read");
    server.put("/v2/x/manifests/1", 200, &[], &vec![b' '; 2 << 20]);
    server.refuses("1048576 are allowed");
    let said = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest\nunknown"}]}"#;
    server.put("/v2/x/manifests/1", 404, &[], said);
    server.refuses("says 404 to the manifest: MANIFEST_UNKNOWN manifest unknown");
}

#[test]
fn a_redirect_is_followed_and_said_and_learns_nothing() {
    let (server, elsewhere) = (Server::start(), Server::start());
    server.offer();
    let login = credentials();
    server.put("/v2/x/manifests/1", 401, &[("www-authenticate", "Basic realm=\"x\"")], b"");
    server.name("1 Basic bWU6c2VjcmV0", &server.offer_unnamed());
    server.put(&blob(), 307, &[("location", &format!("http://{}/there", elsewhere.host))], b"");
    elsewhere.put("/there", 200, &[], COMPONENT);
    let pulled = server.pull_as(&login).unwrap();
    assert_eq!(pulled.component, COMPONENT);
    assert!(pulled.notes[0].contains(&elsewhere.host), "{:?}", pulled.notes);
    assert_eq!(elsewhere.asked(), "GET /there nobody");
    // Round and round, and away from this host without TLS.
    server.put(&blob(), 302, &[("location", &blob())], b"");
    assert!(server.pull_as(&credentials()).unwrap_err().to_string().contains("one redirect after another"));
    server.put(&blob(), 302, &[("location", "http://203.0.113.1/x")], b"");
    assert!(server.pull_as(&credentials()).unwrap_err().to_string().contains("no TLS"));
}

#[test]
fn a_token_is_fetched_where_the_registry_says_and_used_there_only() {
    let (server, tokens) = (Server::start(), Server::start());
    let manifest = server.offer_unnamed();
    let challenge = format!("Bearer realm=\"http://{}/token\",service=\"r\"", tokens.host);
    server.put("/v2/x/manifests/1", 401, &[("www-authenticate", &challenge)], b"");
    server.name("1 Bearer abc", &manifest);
    tokens.put("/token?service=r&scope=repository%3Ax%3Apull", 200, &[], b"{\"access_token\":\"abc\"}");
    assert_eq!(server.pull().unwrap().component, COMPONENT);
    assert!(server.asked().ends_with("Bearer abc"), "{}", server.asked());
    assert!(tokens.asked().ends_with("nobody"), "{}", tokens.asked());
    server.pull_as(&credentials()).unwrap();
    assert!(tokens.asked().ends_with("Basic bWU6c2VjcmV0"), "{}", tokens.asked());
    tokens.put("/token?service=r&scope=repository%3Ax%3Apull", 403, &[], b"");
    server.refuses("gives no token (403)");
    // A registry on this host does not lead a password to another host without TLS.
    server.put("/v2/x/manifests/1", 401, &[("www-authenticate", "Bearer realm=\"http://203.0.113.1/token\"")], b"");
    server.refuses("no TLS");
    server.put("/v2/x/manifests/1", 401, &[("www-authenticate", "Basic realm=\"x\"")], b"");
    server.refuses("asks for a name and a password");
}

#[test]
fn a_login_of_dockers_is_given_when_it_is_asked_for_and_one_that_cannot_be_used_says_why() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.json");
    let store = |text: &str| {
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        Access { login: docker_login(dir.path(), &server.host), ..Access::default() }
    };
    let login = store(&format!("{{\"auths\":{{\"{}\":{{\"auth\":\"bWU6c2VjcmV0\"}}}}}}", server.host));
    server.offer();
    assert!(server.pull_as(&login).unwrap().notes.is_empty());
    assert!(!server.asked().contains("Basic"), "nobody asked for it");
    server.name("1 Basic bWU6c2VjcmV0", &server.offer_unnamed());
    server.put("/v2/x/manifests/1", 401, &[("www-authenticate", "Basic realm=\"x\"")], b"");
    let notes = server.pull_as(&login).unwrap().notes;
    assert!(notes[0].contains("got the login that") && notes[0].contains("config.json"), "{notes:?}");
    let helper = store(&format!("{{\"credHelpers\":{{\"{}\":\"pass\"}}}}", server.host));
    let error = server.pull_as(&helper).unwrap_err().to_string();
    assert!(error.contains("asks for a name and a password; ") && error.contains("docker-credential-pass"), "{error}");
}

#[test]
fn a_registry_that_is_not_there_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = pull(&format!("oci://{host}/x:1").parse().unwrap(), &Access::default()).unwrap_err();
    assert!(matches!(&error, RegistryError::Unreachable { .. }) && error.hint().unwrap().contains("file"), "{error}");
}

/// Where the component lies.
fn blob() -> String {
    format!("/v2/x/blobs/{}", wire::digest(COMPONENT))
}

fn credentials() -> Access {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("login");
    std::fs::write(&file, "me:secret\n").unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    Access::with(Credentials::read(&file).unwrap())
}

impl Server {
    /// A plugin's blobs, without a tag.
    fn offer_unnamed(&self) -> Manifest {
        let before = self.answers.lock().unwrap().get("/v2/x/manifests/1").cloned();
        let manifest = self.offer();
        if let Some(before) = before {
            self.answers.lock().unwrap().insert("/v2/x/manifests/1".to_owned(), before);
        }
        manifest
    }
}
