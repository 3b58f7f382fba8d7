//! The command line: one module per command.
//!
//! A command ends with status 0, with 1 when it could not do what it was asked to, or with 2 when
//! it did not understand what it was asked; those that simulate have some more, see
//! [`status::Status`]. What went wrong is said on standard error, so that
//! standard output holds results and nothing else.

mod decode;
mod doctor;
mod encode;
mod error;
mod output;
mod place;
mod plan;
mod render;
#[cfg(feature = "server")]
mod serve;
mod sim;
mod status;
mod table;
mod transcribe;
mod verify;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tilewright::weights::{Options as WeightsOptions, Weights};
use tilewright_codegen::model::ModelFile;

use error::CliError;
use status::Status;

/// The arguments; what the program is for stands in Cargo.toml.
#[derive(Parser)]
#[command(name = "tilewright", version, about, after_help = EXAMPLES)]
struct Cli {
    /// Say what happens on standard error; -vv says more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,

    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  tilewright encode samples/speech.wav
  tilewright transcribe talk.mp3 --weights openai/whisper-base
  tilewright serve --weights openai/whisper-base
  tilewright plan
  tilewright plan --model models/whisper-small.toml --target npu2-i8 --svg array.svg
  tilewright render --out designs
  tilewright verify --target npu1-i8
  tilewright sim design.mlir --arg in.npy --arg-out 2=c.npy --kernel scale.cc";

#[derive(Subcommand)]
enum Command {
    Doctor(doctor::DoctorArgs),
    Encode(encode::EncodeArgs),
    Plan(plan::PlanArgs),
    Render(render::RenderArgs),
    #[cfg(feature = "server")]
    Serve(serve::ServeArgs),
    Sim(sim::SimArgs),
    Transcribe(transcribe::TranscribeArgs),
    Verify(verify::VerifyArgs),
}

/// Which model file to work on.
#[derive(Args)]
struct ModelArgs {
    /// The model file: models, targets and ops
    #[arg(
        long,
        value_name = "FILE",
        env = "TILEWRIGHT_MODEL",
        hide_env_values = true,
        default_value = "model.toml"
    )]
    model: PathBuf,
}

impl ModelArgs {
    fn read(&self) -> Result<ModelFile, CliError> {
        Ok(ModelFile::read(&self.model)?)
    }
}

/// The weights that are named, with their tokenizer, or synthetic ones.
fn weights(spec: Option<&str>) -> Result<Weights, CliError> {
    match spec {
        Some(spec) => Ok(WeightsOptions::new().progress(true).tokenizer(true).open(spec)?),
        None => {
            complain("no --weights: synthetic weights, so the text means nothing");
            Ok(Weights::synthetic())
        }
    }
}

/// Runs the command that the arguments ask for.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    listen(cli.verbose);
    let done = match cli.command {
        Command::Doctor(args) => doctor::run(&args),
        Command::Encode(args) => encode::run(&args).map(|()| Status::Done),
        Command::Plan(args) => plan::run(&args).map(|()| Status::Done),
        Command::Render(args) => render::run(&args).map(|()| Status::Done),
        #[cfg(feature = "server")]
        Command::Serve(args) => serve::run(&args).map(|()| Status::Done),
        Command::Sim(args) => sim::run(&args),
        Command::Transcribe(args) => transcribe::run(&args),
        Command::Verify(args) => verify::run(&args),
    };
    let status = done.unwrap_or_else(|error| {
        complain(&error.to_string());
        error.status()
    });
    status.into()
}

/// Sends what libraries log to standard error: warnings always, more when asked.
fn listen(verbose: u8) {
    let level = match verbose {
        0 => tracing::Level::WARN,
        1 => tracing::Level::DEBUG,
        _ => tracing::Level::TRACE,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        // Which would be said where nothing can be said, and end in a panic.
        .log_internal_errors(false)
        .with_target(false)
        .without_time()
        .init();
}

/// Writes to standard error. If that is closed there is nobody left to tell.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
