//! Which tools are found where, and what is said of those that are not.

use tilewright_codegen::compile::{Discovery, Toolchain};

use crate::machine::Machine;

fn missing(machine: &Machine) -> String {
    match machine.discover().unwrap() {
        Discovery::Found(toolchain) => panic!("{toolchain:?}"),
        Discovery::Missing(missing) => missing.to_string(),
    }
}

fn error(machine: &Machine) -> String {
    machine.anonymous(&machine.discover().unwrap_err().to_string())
}

fn found(machine: &Machine) -> [String; 4] {
    let Toolchain { aiecc, peano, xclbinutil, include, .. } = machine.toolchain();
    [aiecc, peano, xclbinutil, include].map(|path| machine.anonymous(path.to_str().unwrap()))
}

#[test]
fn nothing_is_no_error_but_says_what_to_install() {
    assert_eq!(
        missing(&Machine::bare()),
        "no NPU toolchain: no kernels for the NPU were compiled, all else works without; \
         aiecc (MLIR-AIE), clang++ (Peano), xclbinutil (XRT) not found; \
         install the Python wheel mlir_aie or set MLIR_AIE_INSTALL_DIR, \
         the Python wheel llvm-aie or set PEANO_INSTALL_DIR, XRT or set XILINX_XRT; \
         https://github.com/Xilinx/mlir-aie says how"
    );
}

#[test]
fn what_is_there_is_not_asked_for() {
    let mut machine = Machine::new();
    machine.unset("XILINX_XRT");
    assert_eq!(
        missing(&machine),
        "no NPU toolchain: no kernels for the NPU were compiled, all else works without; \
         xclbinutil (XRT) not found; install XRT or set XILINX_XRT; \
         https://github.com/Xilinx/mlir-aie says how"
    );
    let mut machine = Machine::new();
    std::fs::remove_file(machine.path("mlir_aie/include/aie_api/aie.hpp")).unwrap();
    machine.set("XILINX_XRT", "elsewhere");
    let message = missing(&machine);
    assert!(message.contains("; include/aie_api/aie.hpp (MLIR-AIE), xclbinutil (XRT) not"));
}

#[test]
fn an_installation_is_found_by_its_variables() {
    let machine = Machine::new();
    let found = found(&machine);
    let places =
        ["~/mlir_aie/bin/aiecc", "~/llvm-aie", "~/xrt/bin/xclbinutil", "~/mlir_aie/include"];
    assert_eq!(found, places);
}

#[test]
fn an_installation_is_found_on_the_path() {
    let mut machine = Machine::new();
    machine.unset("MLIR_AIE_INSTALL_DIR");
    machine.unset("XILINX_XRT");
    machine.set_path(&["xrt/bin", "mlir_aie/bin"]);
    let places =
        ["~/mlir_aie/bin/aiecc", "~/llvm-aie", "~/xrt/bin/xclbinutil", "~/mlir_aie/include"];
    assert_eq!(found(&machine), places);
}

#[test]
fn python_packages_are_found_by_the_environment_whose_script_is_on_the_path() {
    let mut machine = Machine::bare();
    machine.install("venv/bin/aiecc.py");
    machine.install("venv/bin/xclbinutil");
    machine.install_mlir_aie("venv/lib/python3.12/site-packages/mlir_aie");
    machine.install("venv/lib/python3.12/site-packages/llvm-aie/bin/clang++");
    machine.set_path(&["venv/bin"]);
    let site = "~/venv/lib/python3.12/site-packages";
    let [aiecc, peano, _, include] = found(&machine);
    assert_eq!(aiecc, "~/venv/bin/aiecc.py");
    assert_eq!([peano, include], [format!("{site}/llvm-aie"), format!("{site}/mlir_aie/include")]);
}

#[test]
fn peano_is_found_in_the_active_python_environment() {
    let mut machine = Machine::new();
    std::fs::remove_dir_all(machine.path("llvm-aie")).unwrap();
    machine.install("venv/lib/python3.13/site-packages/llvm-aie/bin/clang++");
    assert!(missing(&machine).contains("; clang++ (Peano) not found"));
    machine.set("VIRTUAL_ENV", "venv");
    assert_eq!(found(&machine)[1], "~/venv/lib/python3.13/site-packages/llvm-aie");
}

#[test]
fn the_variables_of_this_project_come_first() {
    let mut machine = Machine::new();
    machine.install("own/aiecc");
    machine.install("own/peano/bin/clang++");
    machine.install("other/peano/bin/clang++");
    machine.set("TILEWRIGHT_AIECC", "own/aiecc");
    machine.set("PEANO_INSTALL_DIR", "other/peano");
    assert_eq!(found(&machine)[..2], ["~/own/aiecc", "~/other/peano"]);
    machine.set("TILEWRIGHT_PEANO", "own/peano");
    assert_eq!(found(&machine)[..2], ["~/own/aiecc", "~/own/peano"]);
}

#[test]
fn a_variable_that_points_to_nothing_is_an_error() {
    for (name, problem) in [
        ("TILEWRIGHT_AIECC", "there is no such file; it must name aiecc"),
        (
            "MLIR_AIE_INSTALL_DIR",
            "there is no bin/aiecc in it; it must name an installation of MLIR-AIE",
        ),
        (
            "TILEWRIGHT_PEANO",
            "there is no bin/clang++ in it; it must name an installation of Peano (llvm-aie)",
        ),
        (
            "PEANO_INSTALL_DIR",
            "there is no bin/clang++ in it; it must name an installation of Peano (llvm-aie)",
        ),
    ] {
        let mut machine = Machine::new();
        machine.set(name, "nowhere");
        assert_eq!(error(&machine), format!("{name} is set to `~/nowhere`: {problem}"));
    }
}

#[test]
fn a_file_that_is_no_program_is_not_a_tool() {
    let mut machine = Machine::new();
    machine.write("notes/aiecc", "");
    machine.set("TILEWRIGHT_AIECC", "notes/aiecc");
    assert!(error(&machine).contains("it must name aiecc"));
}
