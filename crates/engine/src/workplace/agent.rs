//! The workplace of an agent: every call is an HTTPS request to the server. Connections only go outwards.
//!
//! Also the server's half, [`answer`]: it hands each request to the agent group's [`Desk`], so that an agent can
//! do exactly what a local worker of that reader can do.

use crate::task::resolve::ManifestDocuments;
use crate::workplace::local::Desk;
use crate::workplace::{Assignment, Workplace};
use crate::{Error, ErrorKind, Result};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use model::discovery::{KnownTag, SeenTag, TagDelta};
use model::extraction::ExtractionRules;
use model::job::{BlobClaim, JobOutcome, Lease};
use model::registry::RegistryStatus;
use model::{Digest, Gap, LayerInventory};
use remote::agent::AgentTransport;
use report::agent::{self as wire, AgentRequest, AgentResponse};
use sha2::{Digest as _, Sha256};
use std::time::Duration;

/// The agent's half.
pub struct ServerDesk {
    transport: AgentTransport,
}

/// How long the server may take to answer: longer than it keeps a question for work waiting.
const PATIENCE: Duration = Duration::from_secs(60);

impl ServerDesk {
    /// Works for the server behind `transport`.
    pub const fn new(transport: AgentTransport) -> Self {
        Self { transport }
    }

    async fn call(&self, request: &AgentRequest) -> Result<AgentResponse> {
        let body = serde_json::to_vec(request)
            .map_err(|e| Error::because(ErrorKind::Internal, "a request to the server cannot be written", e))?;
        let answer = self.transport.call(body, PATIENCE).await.map_err(crate::error::from_remote)?;
        let answer = serde_json::from_slice(&answer).map_err(|e| {
            Error::because(ErrorKind::Malformed, "the server's answer cannot be read: is it of another version?", e)
        })?;
        match answer {
            AgentResponse::Stale { message } => Err(Error::new(ErrorKind::StaleLease, message)),
            AgentResponse::Refused { message } => {
                Err(Error::new(ErrorKind::Denied, format!("the server refused: {message}")))
            }
            answer => Ok(answer),
        }
    }

    async fn done(&self, request: &AgentRequest) -> Result<()> {
        match self.call(request).await? {
            AgentResponse::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }
}

fn unexpected(answer: &AgentResponse) -> Error {
    let kind = format!("{answer:?}");
    let kind: String = kind.chars().take_while(|c| c.is_alphanumeric()).collect();
    Error::new(
        ErrorKind::Internal,
        format!("the server answered {kind}, which does not fit the question: is it of another version?"),
    )
}

#[async_trait]
impl Workplace for ServerDesk {
    async fn start_anew(&self) -> Result<()> {
        self.done(&AgentRequest::StartAnew).await
    }

    async fn take(&self, wait: Duration) -> Result<Option<Assignment>> {
        let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(wire::WAIT_MS_MAX).min(wire::WAIT_MS_MAX);
        match self.call(&AgentRequest::Lease { wait_ms }).await? {
            AgentResponse::Assignment(assignment) => assignment.map(|a| from_wire(*a)).transpose(),
            other => Err(unexpected(&other)),
        }
    }

    async fn extraction_rules(&self) -> Result<ExtractionRules> {
        match self.call(&AgentRequest::ExtractionRules).await? {
            AgentResponse::ExtractionRules(rules) => Ok(*rules),
            other => Err(unexpected(&other)),
        }
    }

    async fn heartbeat(&self, lease: &Lease) -> Result<Lease> {
        match self.call(&AgentRequest::Heartbeat { lease: lease.clone() }).await? {
            AgentResponse::Lease(lease) => Ok(lease),
            other => Err(unexpected(&other)),
        }
    }

    async fn finish(&self, lease: &Lease, outcome: &JobOutcome) -> Result<()> {
        self.done(&AgentRequest::Finish { lease: lease.clone(), outcome: outcome.clone() }).await
    }

    async fn registry_status(&self, lease: &Lease, status: RegistryStatus, reason: &str, complete: bool) -> Result<()> {
        self.done(&AgentRequest::SetStatus { lease: lease.clone(), status, reason: reason.to_owned(), complete }).await
    }

    async fn record_repositories(&self, lease: &Lease, names: &[String], complete: bool) -> Result<()> {
        self.done(&AgentRequest::RecordRepositories { lease: lease.clone(), names: names.to_vec(), complete }).await
    }

    async fn known_tags(&self, lease: &Lease, repository: &str) -> Result<Vec<KnownTag>> {
        match self.call(&AgentRequest::KnownTags { lease: lease.clone(), repository: repository.to_owned() }).await? {
            AgentResponse::Tags(tags) => Ok(tags),
            other => Err(unexpected(&other)),
        }
    }

    async fn record_tags(&self, lease: &Lease, repository: &str, seen: &[SeenTag]) -> Result<TagDelta> {
        let (lease, repository, seen) = (lease.clone(), repository.to_owned(), seen.to_vec());
        match self.call(&AgentRequest::RecordTags { lease, repository, seen }).await? {
            AgentResponse::TagDelta(delta) => Ok(delta),
            other => Err(unexpected(&other)),
        }
    }

    async fn record_manifest(&self, lease: &Lease, repository: &str, documents: &ManifestDocuments) -> Result<()> {
        let digest = documents.digest.ok_or_else(|| Error::new(ErrorKind::Internal, "documents without a digest"))?;
        let documents = Box::new(wire::Documents {
            digest,
            media_type: documents.media_type.clone(),
            documents: documents.documents.values().map(|bytes| BASE64.encode(bytes)).collect(),
            unreadable: documents.unreadable.iter().map(|(digest, why)| (*digest, why.clone())).collect(),
        });
        self.done(&AgentRequest::RecordManifest { lease: lease.clone(), repository: repository.to_owned(), documents })
            .await
    }

    async fn facts(&self, lease: &Lease, blob: &Digest) -> Result<Option<LayerInventory>> {
        match self.call(&AgentRequest::Facts { lease: lease.clone(), blob: *blob }).await? {
            AgentResponse::Facts(facts) => Ok(facts.map(|facts| *facts)),
            other => Err(unexpected(&other)),
        }
    }

    async fn claim_blob(&self, lease: &Lease, blob: &Digest) -> Result<BlobClaim> {
        match self.call(&AgentRequest::ClaimBlob { lease: lease.clone(), blob: *blob }).await? {
            AgentResponse::Claim(claim) => Ok(claim),
            other => Err(unexpected(&other)),
        }
    }

    async fn put_facts(&self, lease: &Lease, facts: &LayerInventory) -> Result<()> {
        self.done(&AgentRequest::PutFacts { lease: lease.clone(), inventory: Box::new(facts.clone()) }).await
    }

    async fn complete_scan(&self, lease: &Lease, gaps: &[Gap]) -> Result<()> {
        self.done(&AgentRequest::CompleteScan { lease: lease.clone(), gaps: gaps.to_vec() }).await
    }

    async fn fail_scan(&self, lease: &Lease, reason: &str) -> Result<()> {
        self.done(&AgentRequest::FailScan { lease: lease.clone(), reason: reason.to_owned() }).await
    }
}

fn from_wire(assignment: wire::Assignment) -> Result<Assignment> {
    let key = Digest::from_hex(&assignment.secret_key_hex).map_err(|_| {
        Error::new(ErrorKind::Malformed, "the server sent a fingerprint key that is not 64 hexadecimal digits")
    })?;
    Ok(Assignment {
        lease: assignment.lease,
        registry: assignment.registry,
        credentials: assignment.credentials.map(Into::into),
        first_discovery: assignment.first_discovery,
        image: assignment.image.map(Box::new),
        versions: assignment.versions,
        secret_key: *key.as_bytes(),
        rules_revision: assignment.rules_revision,
    })
}

fn to_wire(assignment: Assignment) -> wire::Assignment {
    wire::Assignment {
        lease: assignment.lease,
        registry: assignment.registry,
        credentials: assignment.credentials.map(Into::into),
        first_discovery: assignment.first_discovery,
        image: assignment.image.map(|image| *image),
        versions: assignment.versions,
        secret_key_hex: Digest::from_bytes(assignment.secret_key).hex(),
        rules_revision: assignment.rules_revision,
    }
}

/// The server's half: does what an agent asks, at the desk of its group.
///
/// # Errors
/// Only what the agent should try again; a stale lease and a refusal are answers.
pub async fn answer(desk: &Desk, request: AgentRequest) -> Result<AgentResponse> {
    match dispatch(desk, request).await {
        Ok(answer) => Ok(answer),
        Err(error) => match error.kind {
            ErrorKind::StaleLease => Ok(AgentResponse::Stale { message: error.full() }),
            ErrorKind::Transient | ErrorKind::Internal => Err(error),
            ErrorKind::NotFound
            | ErrorKind::Denied
            | ErrorKind::Malformed
            | ErrorKind::LimitExceeded
            | ErrorKind::Conflict
            | ErrorKind::Unsupported
            | ErrorKind::Usage => Ok(AgentResponse::Refused { message: error.full() }),
        },
    }
}

async fn dispatch(desk: &Desk, request: AgentRequest) -> Result<AgentResponse> {
    let done = |()| AgentResponse::Done;
    match request {
        AgentRequest::StartAnew => desk.start_anew().await.map(done),
        AgentRequest::Lease { wait_ms } => {
            let wait = Duration::from_millis(u64::from(wait_ms.min(wire::WAIT_MS_MAX)));
            let taken = desk.take(wait).await?;
            Ok(AgentResponse::Assignment(taken.map(|assignment| Box::new(to_wire(assignment)))))
        }
        AgentRequest::ExtractionRules => {
            desk.extraction_rules().await.map(|rules| AgentResponse::ExtractionRules(Box::new(rules)))
        }
        AgentRequest::Heartbeat { lease } => desk.heartbeat(&lease).await.map(AgentResponse::Lease),
        AgentRequest::Finish { lease, outcome } => desk.finish(&lease, &outcome).await.map(done),
        AgentRequest::RecordRepositories { lease, names, complete } => {
            desk.record_repositories(&lease, &names, complete).await.map(done)
        }
        AgentRequest::KnownTags { lease, repository } => {
            desk.known_tags(&lease, &repository).await.map(AgentResponse::Tags)
        }
        AgentRequest::RecordTags { lease, repository, seen } => {
            desk.record_tags(&lease, &repository, &seen).await.map(AgentResponse::TagDelta)
        }
        AgentRequest::RecordManifest { lease, repository, documents } => {
            desk.record_manifest(&lease, &repository, &documents_from_wire(&documents)?).await.map(done)
        }
        AgentRequest::SetStatus { lease, status, reason, complete } => {
            desk.registry_status(&lease, status, &reason, complete).await.map(done)
        }
        AgentRequest::Facts { lease, blob } => {
            desk.facts(&lease, &blob).await.map(|facts| AgentResponse::Facts(facts.map(Box::new)))
        }
        AgentRequest::ClaimBlob { lease, blob } => desk.claim_blob(&lease, &blob).await.map(AgentResponse::Claim),
        AgentRequest::PutFacts { lease, inventory } => desk.put_facts(&lease, &inventory).await.map(done),
        AgentRequest::CompleteScan { lease, gaps } => desk.complete_scan(&lease, &gaps).await.map(done),
        AgentRequest::FailScan { lease, reason } => desk.fail_scan(&lease, &reason).await.map(done),
    }
}

fn documents_from_wire(from: &wire::Documents) -> Result<ManifestDocuments> {
    let mut out = ManifestDocuments {
        digest: Some(from.digest),
        media_type: from.media_type.clone(),
        unreadable: from.unreadable.iter().cloned().collect(),
        ..ManifestDocuments::default()
    };
    for text in &from.documents {
        let bytes =
            BASE64.decode(text).map_err(|e| Error::because(ErrorKind::Malformed, "a document is not base64", e))?;
        out.documents.insert(Digest::from_bytes(Sha256::digest(&bytes).into()), bytes);
    }
    Ok(out)
}
