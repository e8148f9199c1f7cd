//! `pratique`: the one binary. Reads the command line, wires the crates together, and ends with an exit code.
//!
//! Not here: anything that another crate could be asked. Only this crate prints, and only it knows exit codes.

mod arguments;
mod command;
mod demo;
mod exit;
mod folders;
mod malware_rules;
mod progress;
mod secret_rules;
mod tuning_file;

use arguments::{Arguments, Command};
use clap::Parser;
use exit::Exit;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are answers, everything else is wrong usage.
            let code = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            let _ = error.print();
            return code.into();
        }
    };
    start_logging(arguments.verbose);
    remote::install_crypto();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::report(&anyhow::Error::new(error).context("the runtime cannot be started")),
    };
    let outcome = runtime.block_on(run(arguments.command));
    // Blocking threads that still read a cancelled layer are not waited for.
    runtime.shutdown_background();
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) => exit::report(&error),
    }
}

async fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Scan(arguments) => command::scan::run(*arguments).await,
        Command::Serve(arguments) => command::serve::run(*arguments).await,
        Command::Agent(arguments) => command::agent::run(arguments).await,
        Command::Feeds(arguments) => command::feeds::run(arguments).await,
        Command::Registry(arguments) => command::registry::run(arguments).await,
        Command::Policy(arguments) => command::policy::run(&arguments),
        Command::Explain(arguments) => command::explain::run(&arguments),
        Command::Demo(arguments) => demo::run(arguments).await,
    }
}

fn start_logging(verbose: u8) {
    let default = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("PRATIQUE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
}
