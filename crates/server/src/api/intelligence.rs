//! `/intelligence`: what is known of the world, and how more of it comes in.

use crate::auth::guard::Who;
use crate::auth::setup::entry;
use crate::limits::IMPORT_BYTES_MAX;
use crate::problem::{Answer, Problem};
use crate::respond::Params;
use crate::state::Shared;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use engine::feeds::{self, FailedSource, Imported, Round};
use futures_util::{Stream, StreamExt as _};
use report::api::{DownloadBody, FailedDocument, FeedBody, ImportBody, IntelligenceBody};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use utoipa::{IntoParams, ToSchema};

/// The intelligence in force: generation, and every feed with records, age and error.
#[utoipa::path(get, path = "/api/v1/intelligence", tag = "intelligence", operation_id = "getIntelligence",
    responses((status = 200, body = IntelligenceBody)))]
pub(crate) async fn get(State(state): State<Shared>) -> Json<IntelligenceBody> {
    let loaded = state.engine.library.current();
    let now = state.now();
    let feed = |meta: &intel::FeedMeta| FeedBody {
        id: meta.id.clone(),
        kind: meta.kind.as_str().to_owned(),
        releases: meta.releases.iter().map(ToString::to_string).collect(),
        records: meta.records,
        broken_records: meta.broken_records,
        modified: meta.modified,
        imported_at: meta.imported_at,
        age_seconds: now.duration_since(meta.imported_at).as_secs().max(0),
        error: meta.error.clone(),
        limited: meta.limited.clone(),
    };
    let feeds = loaded.intelligence.feeds().iter().map(feed).collect();
    let progress = state.engine.feed_rounds.progress();
    let download = DownloadBody {
        running: progress.running,
        wanted: progress.wanted as u64,
        ended: progress.ended as u64,
        failed: progress.failed.into_iter().map(failed_source).collect(),
        ended_at: progress.ended_at,
        next_at: progress.next_at,
    };
    Json(IntelligenceBody { generation: loaded.intelligence.generation(), feeds, download })
}

fn failed_source(source: FailedSource) -> FailedDocument {
    FailedDocument { document: source.name, reason: source.reason }
}

/// `?name=`
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ImportQuery {
    /// The document's file name: a hint, and what a list of hashes is called by (`bad-hashes.csv`).
    name: Option<String>,
}

/// Imports the body: one feed document, plain or gzip, or a zip archive of them. Documents are recognised by content.
/// Exactly the feeds that the source holds are replaced; a broken document leaves its feed as it was.
#[utoipa::path(post, path = "/api/v1/intelligence/import", tag = "intelligence", operation_id = "importIntelligence",
    params(ImportQuery), request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200, body = ImportBody), (status = 413, description = "larger than 2 GiB", body = report::api::Problem),
        (status = 422, description = "nothing in it was recognised", body = report::api::Problem)))]
pub(crate) async fn import(
    State(state): State<Shared>,
    Who(who): Who,
    Params(query): Params<ImportQuery>,
    body: Body,
) -> Answer<Json<ImportBody>> {
    let upload = Upload::new(&state, query.name.as_deref()).await?;
    upload.receive(body.into_data_stream()).await?;
    Ok(Json(upload.import(&state, &who.name).await?))
}

/// A document on its way in, in a folder of its own that goes away with this.
pub(crate) struct Upload {
    folder: TempDir,
    path: PathBuf,
}

impl Upload {
    /// Makes room for a document that is called `name`.
    ///
    /// # Errors
    /// When the data folder cannot be written.
    pub(crate) async fn new(state: &Shared, name: Option<&str>) -> Answer<Self> {
        tokio::fs::create_dir_all(&state.uploads).await.map_err(Problem::internal)?;
        let folder =
            tempfile::Builder::new().prefix("import-").tempdir_in(&state.uploads).map_err(Problem::internal)?;
        let path = folder.path().join(file_name(name.unwrap_or_default()));
        Ok(Self { folder, path })
    }

    /// Writes what comes, up to the limit.
    ///
    /// # Errors
    /// 413 when it is more, 400 when it was cut off.
    pub(crate) async fn receive<E: std::fmt::Display>(
        &self,
        mut data: impl Stream<Item = Result<Bytes, E>> + Unpin,
    ) -> Answer<u64> {
        let mut file = tokio::fs::File::create(&self.path).await.map_err(Problem::internal)?;
        let mut written = 0;
        while let Some(chunk) = data.next().await {
            let chunk = chunk.map_err(|error| Problem::bad_request(format!("the upload was cut off: {error}")))?;
            written += chunk.len() as u64;
            if written > IMPORT_BYTES_MAX {
                return Err(Problem::too_large(
                    "an import has at most 2 GiB: use `pratique feeds import` on the server",
                ));
            }
            file.write_all(&chunk).await.map_err(Problem::internal)?;
        }
        file.flush().await.map_err(Problem::internal)?;
        Ok(written)
    }

    /// Imports what was received; the new generation is picked up at once.
    ///
    /// # Errors
    /// 422 when nothing was recognised.
    pub(crate) async fn import(self, state: &Shared, by: &str) -> Answer<ImportBody> {
        let _one_at_a_time = state.imports.acquire().await.map_err(Problem::internal)?;
        let library = state.engine.library.clone();
        let now = state.now();
        let Self { folder, path } = self;
        let imported = tokio::task::spawn_blocking(move || {
            let imported = feeds::import(library.folder(), &path, now);
            drop(folder);
            imported
        })
        .await??;
        state.engine.office.evaluation_wanted.notify_one();
        told(state, by, imported).await
    }
}

async fn told(state: &Shared, by: &str, imported: Imported) -> Answer<ImportBody> {
    if imported.feeds.is_empty() && imported.failed.is_empty() {
        return Err(Problem::refused("nothing in it was recognised as a feed document"));
    }
    note(state, by, "intelligence.import", imported).await
}

/// Writes a row of the audit log, and says what was done.
async fn note(state: &Shared, by: &str, what: &str, imported: Imported) -> Answer<ImportBody> {
    let replaced: Vec<String> = imported.feeds.iter().map(|meta| meta.id.clone()).collect();
    let detail = format!("generation {}: {}", imported.generation, replaced.join(", "));
    let detail = crate::page::show::cut(&detail, 1000);
    state.store().audit(&entry(by, what, detail, state.now())).await?;
    let failed = |document: feeds::FailedDocument| FailedDocument {
        document: document.path,
        reason: match document.feed.as_str() {
            "" => document.reason,
            feed => format!("{feed} keeps its old records: {}", document.reason),
        },
    };
    Ok(ImportBody {
        generation: imported.generation,
        replaced,
        unrecognised: imported.unrecognised,
        failed: imported.failed.into_iter().map(failed).collect(),
    })
}

/// Which feeds to download.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SyncRequest {
    /// Names of feeds; a final `*` fits any end. Empty means all that are of general use.
    feeds: Vec<String>,
}

/// Downloads feeds from their publishers. An empty body means all that are of general use. Feeds that have not changed
/// are not downloaded again; one that cannot be downloaded keeps its records, and is named in `failed`.
#[utoipa::path(post, path = "/api/v1/intelligence/sync", tag = "intelligence", operation_id = "syncIntelligence",
    request_body = SyncRequest,
    responses((status = 200, body = ImportBody), (status = 409, description = "a download is under way", body = report::api::Problem),
        (status = 422, description = "no feed is called so", body = report::api::Problem)))]
pub(crate) async fn sync(
    State(state): State<Shared>,
    Who(who): Who,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Answer<Json<ImportBody>> {
    let body = body.map_err(|rejection| crate::respond::from_bytes_rejection(&rejection))?;
    let request: SyncRequest = if body.trim_ascii().is_empty() {
        SyncRequest::default()
    } else {
        serde_json::from_slice(&body).map_err(|error| Problem::refused(error.to_string()))?
    };
    let round = begin_sync(&state, &request.feeds)?;
    Ok(Json(run_sync(&state, round, &who.name).await?))
}

/// Begins a download of feeds by name.
///
/// # Errors
/// 409 when one is under way, 422 when no feed is called so.
pub(crate) fn begin_sync(state: &Shared, wanted: &[String]) -> Answer<Round> {
    let sources = state.engine.feed_sources(wanted)?;
    Ok(state.engine.feed_rounds.begin(sources)?)
}

/// Downloads one feed after the other. It goes on when the client leaves.
///
/// # Errors
/// When the audit log cannot be written.
pub(crate) async fn run_sync(state: &Shared, round: Round, by: &str) -> Answer<ImportBody> {
    let (state, by) = (state.clone(), by.to_owned());
    let run = tokio::spawn(async move {
        let feeds::Outcome { mut imported, failed } = round.run().await;
        state.engine.office.evaluation_wanted.notify_one();
        imported.generation = imported.generation.max(state.engine.library.current().intelligence.generation());
        let mut body = note(&state, &by, "intelligence.sync", imported).await?;
        body.failed.extend(failed.into_iter().map(failed_source));
        Ok(body)
    });
    run.await?
}

/// The last part of a name, with nothing in it that a file system could take for more than a name.
fn file_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String = last.chars().map(plain).take(120).collect();
    let name = name.trim_start_matches('.');
    if Path::new(name).file_name().is_none() { "document".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upload_names_are_only_names() {
        let check = |name: &str, expect: &str| assert_eq!(file_name(name), expect);
        check("bad-hashes.csv", "bad-hashes.csv");
        check("../../etc/passwd", "passwd");
        check("C:\\feeds\\main.json", "main.json");
        check("..", "document");
        check("", "document");
        check("a b\0c", "a-b-c");
        check(".hidden", "hidden");
    }
}
