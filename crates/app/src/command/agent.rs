//! `pratique agent`: takes work from a server, over connections that only go outwards.

use crate::arguments::{AgentArguments, AgentMode};
use crate::command::serve::{processors, wait_for_signal};
use crate::exit::Exit;
use anyhow::{Context, Result, bail};
use engine::clock::SystemClock;
use engine::task::scan::memory_of_layers;
use engine::worker::AgentWorkshop;
use engine::workplace::agent::ServerDesk;
use model::registry::ScanMode;
use remote::agent::AgentTransport;
use remote::docker_config::DockerConfig;
use report::agent::{JoinRequest, JoinResponse};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::DiskSpool;
use tokio_util::sync::CancellationToken;

/// What an agent keeps between starts.
#[derive(Serialize, Deserialize)]
struct Membership {
    server: String,
    secret: String,
    group: String,
    mode: ScanMode,
}

pub(crate) async fn run(arguments: AgentArguments) -> Result<Exit> {
    std::fs::create_dir_all(&arguments.data).with_context(|| format!("{} cannot be made", arguments.data.display()))?;
    let ca = match &arguments.ca {
        Some(path) => {
            Some(std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?)
        }
        None => None,
    };
    let transport = AgentTransport::new(&arguments.server, ca.as_deref(), None)?;
    let membership = membership(&arguments, &transport).await?;
    check(&arguments, &membership)?;
    let desk = ServerDesk::new(transport.with_secret(SecretString::from(membership.secret)));
    let (layers_at_once, memory) = memory_of_layers(processors(), arguments.memory_max);
    let logins = arguments.registry_logins.as_deref().map(DockerConfig::read).transpose()?;
    let workshop = AgentWorkshop {
        place: Arc::new(desk),
        clock: Arc::new(SystemClock),
        spool: Arc::new(DiskSpool::new(&arguments.data.join("spool"), arguments.spool_max)?),
        inspector: arguments.clamd.clone().map(super::scan::inspector),
        logins: logins.map(Arc::new),
        user_agent: remote::agent_user_agent(),
        layers_at_once,
        memory,
    };
    engine::worker::start_agent(&workshop).await;
    anstream::println!("agent of group {} ({}) works for {}", membership.group, membership.mode, arguments.server);
    let stop = CancellationToken::new();
    let workers: Vec<_> = (0..arguments.workers.max(1))
        .map(|_| tokio::spawn(engine::worker::run_agent(workshop.clone(), stop.clone())))
        .collect();
    wait_for_signal().await;
    stop.cancel();
    for worker in workers {
        worker.await.context("a worker was cut off")?;
    }
    Ok(Exit::Done)
}

fn file(data: &Path) -> PathBuf {
    data.join("agent.json")
}

async fn membership(arguments: &AgentArguments, transport: &AgentTransport) -> Result<Membership> {
    let path = file(&arguments.data);
    match std::fs::read(&path) {
        Ok(bytes) => {
            let known: Membership =
                serde_json::from_slice(&bytes).with_context(|| format!("{} cannot be read", path.display()))?;
            if known.server == arguments.server {
                return Ok(known);
            }
            bail!(
                "{} belongs to the server {}: use another --data folder for {}",
                path.display(),
                known.server,
                arguments.server
            )
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => join(arguments, transport).await,
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

async fn join(arguments: &AgentArguments, transport: &AgentTransport) -> Result<Membership> {
    let token =
        arguments.join.clone().context("this agent has not joined yet: give it a one-time token with --join")?;
    let name = arguments.name.clone().unwrap_or_else(host_name);
    let request = JoinRequest { token, name, version: env!("CARGO_PKG_VERSION").to_owned() };
    let answer =
        transport.join(serde_json::to_vec(&request)?).await.context("the server did not let this agent join")?;
    let answer: JoinResponse = serde_json::from_slice(&answer).context("the server's answer cannot be read")?;
    let membership =
        Membership { server: arguments.server.clone(), secret: answer.secret, group: answer.group, mode: answer.mode };
    save(&file(&arguments.data), &membership)?;
    Ok(membership)
}

/// The secret is written for the owner only, and whole or not at all.
fn save(path: &Path, membership: &Membership) -> Result<()> {
    let temporary = path.with_extension("new");
    let failed = || format!("{} cannot be written", path.display());
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary).with_context(failed)?;
    file.write_all(&serde_json::to_vec_pretty(membership)?).and_then(|()| file.sync_all()).with_context(failed)?;
    std::fs::rename(&temporary, path).with_context(failed)
}

fn check(arguments: &AgentArguments, membership: &Membership) -> Result<()> {
    let mode = match arguments.mode {
        AgentMode::Outpost => ScanMode::Outpost,
        AgentMode::Broker => ScanMode::Broker,
    };
    if membership.mode != mode || membership.group != arguments.group {
        bail!(
            "the server knows this agent as {} of group {}, not as {mode} of group {}",
            membership.mode,
            membership.group,
            arguments.group
        );
    }
    Ok(())
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "agent".to_owned() } else { name.to_owned() }
}
