//! The core functions of a design: from the user's files, or from the `gemm.cc` beside it.

use std::path::{Path, PathBuf};

use tilewright_codegen::render::design::KERNEL_SOURCE;
use tilewright_codegen::render::kernel::HOST_HEADERS;
use tilewright_sim::functions::{
    Declaration, Functions, Library, LibraryError, Sources, gemm, gemm_layout,
};
use tilewright_sim::netlist::Netlist;

use super::SimArgs;
use crate::cli::complain;
use crate::cli::error::CliError;

/// The functions that a design's cores can call.
pub(super) fn functions(args: &SimArgs, netlist: &Netlist) -> Result<Functions, CliError> {
    if args.kernels.is_empty() { beside(&args.design, netlist) } else { given(args, netlist) }
}

/// The core kernel of a design of Tilewright's own, as it was rendered beside it; nothing for any
/// other design.
fn beside(design: &Path, netlist: &Netlist) -> Result<Functions, CliError> {
    let source = design.with_file_name(KERNEL_SOURCE);
    let mut layouts = netlist.functions.keys().filter_map(|symbol| gemm_layout(symbol));
    match (layouts.next(), std::fs::read_to_string(&source)) {
        (Some(layout), Ok(text)) => gemm(&layout, Some(&text), None)
            .map_err(|error| CliError::Kernel(source.display().to_string(), error.to_string())),
        _ => Ok(Functions::new()),
    }
}

/// Sources are compiled together; each library is opened by itself.
fn given(args: &SimArgs, netlist: &Netlist) -> Result<Functions, CliError> {
    let declarations = declarations(netlist)?;
    let mut functions = Functions::new();
    let (libraries, files): (Vec<&PathBuf>, Vec<&PathBuf>) =
        args.kernels.iter().partition(|path| is_library(path));
    let mut found = Vec::new();
    if !files.is_empty() {
        let sources = sources(&files, &args.include)?;
        found.push(Library::compile(&sources, &declarations, None)?);
    }
    for path in libraries {
        found.push(Library::open(path, &declarations, None)?);
    }
    for library in &found {
        library.register(&mut functions);
    }
    let has_own = |symbol: &str| netlist.functions.get(symbol).is_some_and(|f| f.body.is_some());
    for declaration in &declarations {
        let symbol = &declaration.symbol;
        if functions.get(symbol).is_none() && !has_own(symbol) {
            complain(&format!(
                "warning: no --kernel has a function `{symbol}`, which the design declares; in C++ \
                 it must be extern \"C\""
            ));
        }
    }
    Ok(functions)
}

/// Declared functions without a body of their own.
fn declarations(netlist: &Netlist) -> Result<Vec<Declaration>, LibraryError> {
    let declared = netlist.functions.iter().filter(|(_, function)| function.body.is_none());
    declared.map(|(symbol, function)| Declaration::new(symbol, function)).collect()
}

fn sources(files: &[&PathBuf], include: &[PathBuf]) -> Result<Sources, CliError> {
    let mut sources = Sources::new();
    for path in files {
        let text = std::fs::read_to_string(path)
            .map_err(|source| CliError::Read { path: (*path).clone(), source })?;
        sources.foreign(path.display().to_string(), &text);
        // What it includes with quotes lies beside it.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = std::path::absolute(folder.unwrap_or(Path::new(".")))
            .map_err(|source| CliError::Read { path: (*path).clone(), source })?;
        sources.folder(folder);
    }
    for (path, text) in HOST_HEADERS {
        sources.header(*path, *text);
    }
    for folder in include {
        let folder = std::path::absolute(folder)
            .map_err(|source| CliError::Read { path: folder.clone(), source })?;
        sources.folder(folder);
    }
    Ok(sources)
}

fn is_library(path: &Path) -> bool {
    path.extension().is_some_and(|extension| ["so", "dylib", "dll"].iter().any(|x| extension == *x))
}
