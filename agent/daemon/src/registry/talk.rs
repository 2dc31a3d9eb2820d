//! One conversation with one registry: requests with deadlines and bounds, who asks, and where a redirect leads.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, USER_AGENT, WWW_AUTHENTICATE,
};
use hyper::{Method, Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use tokio::time::timeout;

use super::access::{Access, Authorities, Login};
use super::address::{Address, is_loopback};
use super::auth::{Challenge, bearer};
use super::error::RegistryError;
use super::reference::Reference;

/// Everything together.
pub(super) const WHOLE_DEADLINE: Duration = Duration::from_mins(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Until an answer begins.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
/// Until it has ended: a component of 16 MiB over a slow line.
const BODY_DEADLINE: Duration = Duration::from_mins(2);
/// A registry that moves content elsewhere redirects once.
const REDIRECTS_MAX: usize = 3;
/// An answer that is an error, a token, or of no interest.
pub(super) const SMALL_BYTES_MAX: u64 = 64 << 10;

/// What is asked, besides where.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) method: Method,
    /// For messages: `the manifest`.
    pub(super) what: &'static str,
    pub(super) accept: Option<&'static str>,
    /// The body and its type.
    pub(super) body: Option<(&'static str, Bytes)>,
    /// Most bytes of the answer.
    pub(super) most: u64,
}

impl Ask {
    pub(super) fn get(what: &'static str, most: u64) -> Self {
        Self { method: Method::GET, what, accept: None, body: None, most }
    }
    pub(super) fn to(method: Method, what: &'static str) -> Self {
        Self { method, most: SMALL_BYTES_MAX, ..Self::get(what, 0) }
    }
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

pub(super) struct Talk {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    host: String,
    name: String,
    secure: bool,
    login: Login,
    authorization: Option<HeaderValue>,
    /// What an operator should know of how it went.
    pub(super) notes: Vec<String>,
}

impl Talk {
    /// Nothing is connected yet.
    pub(super) fn new(reference: &Reference, access: &Access) -> Result<Self, RegistryError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let tls = tls(reference, access.authorities.as_ref())?;
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            host: reference.host().to_owned(),
            name: reference.name().to_owned(),
            secure: reference.is_secure(),
            login: access.login.clone(),
            authorization: None,
            notes: Vec::new(),
        })
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// `/v2/NAME/` + `rest`.
    pub(super) fn address(&self, rest: &str) -> Address {
        Address::new(self.secure, &self.host, format!("/v2/{}/{rest}", self.name))
    }

    /// Asks, says who asks when that is wanted, and follows where reading leads. Any status is an answer.
    pub(super) async fn ask(&mut self, ask: &Ask, mut address: Address) -> Result<Reply, RegistryError> {
        let (mut redirects, mut authorized) = (0, false);
        loop {
            // What says who asks goes to the registry and nowhere else.
            let own = address.authority == self.host;
            let authorization = self.authorization.clone().filter(|_| own);
            let reply = self.once(ask, &address, authorization).await?;
            if reply.status == StatusCode::UNAUTHORIZED && own && !authorized {
                authorized = true;
                self.authorize(&reply).await?;
                continue;
            }
            let reads = matches!(ask.method, Method::GET | Method::HEAD);
            let Some(location) = reply.header(LOCATION.as_str()).filter(|_| reads && reply.status.is_redirection())
            else {
                return Ok(reply);
            };
            let refused = |why| RegistryError::Redirect {
                host: self.host.clone(),
                location: location.chars().filter(|c| !c.is_control()).take(300).collect(),
                why,
            };
            redirects += 1;
            if redirects > REDIRECTS_MAX {
                return Err(refused("it is one redirect after another"));
            }
            let next = address.to(location).map_err(refused)?;
            if next.authority != address.authority {
                let note = format!("{} came from {}, where {} redirected", ask.what, next.authority, address.authority);
                if !self.notes.contains(&note) {
                    self.notes.push(note);
                }
            }
            address = next;
        }
    }

    /// The same; everything but success is an error.
    pub(super) async fn must(&mut self, ask: &Ask, address: Address) -> Result<Reply, RegistryError> {
        let reply = self.ask(ask, address).await?;
        if reply.status.is_success() { Ok(reply) } else { Err(self.refusal(ask.what, &reply)) }
    }

    pub(super) fn refusal(&self, what: &str, reply: &Reply) -> RegistryError {
        let (host, words) = (self.host.clone(), words(&reply.body));
        match reply.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let why = if words.is_empty() { format!("{} to {what}", reply.status.as_u16()) } else { words };
                RegistryError::Denied { host, why: self.login.explained(why) }
            }
            status => RegistryError::Status { host, status: status.as_u16(), what: what.to_owned(), words },
        }
    }

    async fn once(
        &self,
        ask: &Ask,
        address: &Address,
        authorization: Option<HeaderValue>,
    ) -> Result<Reply, RegistryError> {
        let unreachable = |why: String| RegistryError::Unreachable { host: address.authority.clone(), why };
        let (kind, body) = ask.body.clone().unzip();
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(address.to_string())
            .body(Full::new(body.unwrap_or_default()))
            .map_err(|error| unreachable(error.to_string()))?;
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("holdfast/", env!("CARGO_PKG_VERSION"))));
        for (name, value) in [(ACCEPT, ask.accept), (CONTENT_TYPE, kind)] {
            if let Some(value) = value {
                headers.insert(name, HeaderValue::from_static(value));
            }
        }
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, value);
        }
        let answer = timeout(ANSWER_DEADLINE, self.client.request(request))
            .await
            .map_err(|_| unreachable(format!("no answer within {} s", ANSWER_DEADLINE.as_secs())))?
            .map_err(|error| unreachable(chain(&error)))?;
        let (head, body) = answer.into_parts();
        // What is wrong is told in few words.
        let most = if head.status.is_success() { ask.most } else { SMALL_BYTES_MAX };
        let limited = Limited::new(body, usize::try_from(most).unwrap_or(usize::MAX));
        let body = timeout(BODY_DEADLINE, limited.collect())
            .await
            .map_err(|_| unreachable(format!("its answer did not end within {} s", BODY_DEADLINE.as_secs())))?;
        let body = match body {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                let (host, what) = (address.authority.clone(), ask.what);
                return Err(RegistryError::TooLarge { host, what, bytes: most + 1, most });
            }
            Err(error) => return Err(unreachable(format!("its answer broke off: {}", chain(error.as_ref())))),
        };
        Ok(Reply { status: head.status, headers: head.headers, body })
    }

    async fn authorize(&mut self, reply: &Reply) -> Result<(), RegistryError> {
        let denied =
            |why: &str| RegistryError::Denied { host: self.host.clone(), why: self.login.explained(why.to_owned()) };
        let challenge = reply.header(WWW_AUTHENTICATE.as_str()).and_then(Challenge::parse);
        let basic = self.login.basic();
        let authorization = match challenge {
            Some(Challenge::Basic) => Some(basic.ok_or_else(|| denied("it asks for a name and a password"))?),
            Some(Challenge::Bearer { realm, service, scope }) => {
                let here = Address::new(self.secure, &self.host, "/");
                let mut address = here.to(&realm).map_err(|why| RegistryError::Redirect {
                    host: self.host.clone(),
                    location: realm.chars().filter(|c| !c.is_control()).take(300).collect(),
                    why,
                })?;
                let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", self.name));
                for (name, value) in [("service", service), ("scope", Some(scope))] {
                    if let Some(value) = value {
                        address = address.with(name, &value);
                    }
                }
                let reply = self.once(&Ask::get("the request for a token", SMALL_BYTES_MAX), &address, basic).await?;
                if !reply.status.is_success() {
                    return Err(denied(&format!("{} gives no token ({})", address.authority, reply.status.as_u16())));
                }
                let given: Token =
                    serde_json::from_slice(&reply.body).map_err(|_| denied("its token cannot be read"))?;
                let token = given.token.or(given.access_token).as_deref().and_then(bearer);
                Some(token.ok_or_else(|| denied("its token cannot be used"))?)
            }
            None => return Err(denied("it asks for a kind of login that is not known here")),
        };
        self.authorization = authorization;
        if let Login::Stored { file, .. } = &self.login {
            self.notes.push(format!(
                "{} asked who it is, and got the login that {} has for it",
                self.host,
                file.display()
            ));
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<Said>,
}

#[derive(Deserialize)]
struct Said {
    code: String,
    #[serde(default)]
    message: String,
}

/// The first error that a registry names, on one line.
fn words(body: &[u8]) -> String {
    let first = serde_json::from_slice::<Errors>(body).ok().and_then(|it| it.errors.into_iter().next());
    let text = first.map_or_else(String::new, |it| format!("{} {}", it.code, it.message));
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect::<String>().trim().to_owned()
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    crate::telemetry::Chain(error).to_string()
}

fn tls(reference: &Reference, authorities: Option<&Authorities>) -> Result<ClientConfig, RegistryError> {
    let unreachable = |why: String| RegistryError::Unreachable { host: reference.host().to_owned(), why };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots.add_parsable_certificates(authorities.into_iter().flat_map(Authorities::certificates));
    if roots.is_empty() && !is_loopback(reference.host()) {
        return Err(unreachable("this host believes no authority; install ca-certificates".to_owned()));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| unreachable(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
