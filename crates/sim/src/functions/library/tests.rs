//! Libraries as a simulator uses them. They need a C++ compiler, as the simulator of a design with
//! core kernels does.

use super::*;
use crate::text::Float;

fn buffer(bytes: usize, alignment: usize) -> Parameter {
    Parameter::Buffer { bytes, alignment }
}

fn integer(bits: u32) -> Parameter {
    Parameter::Integer { bits, unsigned: false }
}

fn float(format: Float) -> Parameter {
    Parameter::Float { format }
}

fn declaration(symbol: &str, parameters: &[Parameter], result: Option<Parameter>) -> Declaration {
    Declaration { symbol: symbol.to_owned(), parameters: parameters.to_vec(), result }
}

fn compile(text: &str, declarations: &[Declaration], cache: &Path) -> Library {
    let mut sources = Sources::new();
    sources.file("kernel.cc", text);
    Library::compile(&sources, declarations, Some(cache)).unwrap()
}

fn call(
    library: &Library,
    symbol: &str,
    arguments: &mut [Argument<'_>],
) -> Result<Returned, String> {
    library.function(symbol, Behaviour::default()).unwrap().call(arguments)
}

/// Bytes on a multiple of 64.
#[repr(align(64))]
struct Aligned<const N: usize>([u8; N]);

#[test]
fn arguments_arrive_as_what_they_are_declared() {
    let folder = tempfile::tempdir().unwrap();
    let source = r#"
        #include <stdint.h>
        struct bfloat16 { uint16_t bits; bfloat16() = default; bfloat16(float) : bits(0) {} };
        extern "C" void mixed(int64_t *out, int8_t a, float b, uint16_t c, const int32_t *in,
                              double d, bfloat16 e, int64_t f, bool g) {
          out[0] = a; out[1] = static_cast<int64_t>(b * 4); out[2] = c; out[3] = in[1];
          out[4] = static_cast<int64_t>(d * 8); out[5] = e.bits; out[6] = f; out[7] = g;
        }
        extern "C" int8_t negate(int8_t x) { return static_cast<int8_t>(-x); }
        extern "C" float half(float x) { return x / 2; }
        extern "C" bfloat16 same(bfloat16 x) { return x; }
    "#;
    let unsigned = Parameter::Integer { bits: 16, unsigned: true };
    let declarations = [
        declaration(
            "mixed",
            &[
                buffer(64, 8),
                integer(8),
                float(Float::F32),
                unsigned,
                buffer(8, 4),
                float(Float::F64),
                float(Float::Bf16),
                integer(64),
                integer(1),
            ],
            None,
        ),
        declaration("negate", &[integer(8)], Some(integer(8))),
        declaration("half", &[float(Float::F32)], Some(float(Float::F32))),
        declaration("same", &[float(Float::Bf16)], Some(float(Float::Bf16))),
    ];
    let library = compile(source, &declarations, folder.path());
    assert!(library.missing().is_empty(), "{:?}", library.missing());

    let mut out = Aligned([0; 64]);
    let mut input = Aligned([0; 8]);
    input.0[4..].copy_from_slice(&(-5_i32).to_ne_bytes());
    let scalar = |value| Argument::Scalar(Scalar::Integer(value));
    let real = |value| Argument::Scalar(Scalar::Float(value));
    let mut arguments = [
        Argument::Buffer(&mut out.0),
        scalar(-3),
        real(1.5),
        scalar(65535),
        Argument::Buffer(&mut input.0),
        real(-0.5),
        real(1.5),
        scalar(i64::MIN),
        scalar(1),
    ];
    call(&library, "mixed", &mut arguments).unwrap();
    let words: Vec<i64> =
        out.0.chunks(8).map(|word| i64::from_ne_bytes(word.try_into().unwrap())).collect();
    assert_eq!(words, [-3, 6, 65535, -5, -4, 0x3fc0, i64::MIN, 1]);

    let value = |symbol, argument| call(&library, symbol, &mut [argument]).unwrap().value;
    assert_eq!(value("negate", scalar(7)), Some(Scalar::Integer(-7)));
    assert_eq!(value("half", real(3.0)), Some(Scalar::Float(1.5)));
    assert_eq!(value("same", real(-2.5)), Some(Scalar::Float(-2.5)));
}

#[test]
fn arguments_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let declarations = [declaration("f", &[buffer(16, 4), integer(32)], None)];
    let library = compile("extern \"C\" void f(int *, int) {}", &declarations, folder.path());
    let mut bytes = Aligned([0; 32]);
    let one = || Argument::Scalar(Scalar::Integer(1));
    let error = |arguments: &mut [Argument<'_>]| call(&library, "f", arguments).unwrap_err();
    assert_eq!(error(&mut [one()]), "`f` takes 2 arguments, 1 were given");
    assert_eq!(
        error(&mut [Argument::Buffer(&mut bytes.0[..12]), one()]),
        "argument 0 of `f` is a buffer of 16 bytes, 12 were given"
    );
    assert_eq!(
        error(&mut [Argument::Buffer(&mut bytes.0[1..]), one()]),
        "argument 0 of `f` lies at an address that is no multiple of its elements' 4 bytes"
    );
    assert_eq!(
        error(&mut [Argument::Buffer(&mut bytes.0), Argument::Scalar(Scalar::Float(1.0))]),
        "argument 1 of `f` is no integer of 32 bits"
    );
}

#[test]
fn cycles_are_what_the_caller_says_of_the_integers() {
    let folder = tempfile::tempdir().unwrap();
    let declarations = [declaration("f", &[integer(32), integer(32)], None)];
    let library = compile("extern \"C\" void f(int, int) {}", &declarations, folder.path());
    let cycles: Cycles = Arc::new(|integers| (integers[0] * 10 + integers[1]) as u64);
    let function = library
        .function("f", Behaviour { cycles: Some(cycles), access: vec![Access::Unknown] })
        .unwrap();
    let scalar = |value| Argument::Scalar(Scalar::Integer(value));
    assert_eq!(function.access(), [Access::Unknown]);
    let returned = function.call(&mut [scalar(4), scalar(2)]).unwrap();
    assert_eq!(returned, Returned { cycles: 42, value: None });
}

#[test]
fn what_is_compiled_is_kept_and_damage_is_repaired() {
    let folder = tempfile::tempdir().unwrap();
    let source = "extern \"C\" int f() { return 6; }";
    let declarations = [declaration("f", &[], Some(integer(32)))];
    let six = |library: &Library| {
        assert_eq!(call(library, "f", &mut []).unwrap().value, Some(Scalar::Integer(6)));
    };
    six(&compile(source, &declarations, folder.path()));
    let entries = || {
        let files = std::fs::read_dir(folder.path()).unwrap();
        let mut files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    };
    let first = entries();
    assert_eq!(first.len(), 2, "a library and its note: {first:?}");
    let library = first.iter().find(|path| path.extension() != Some("blake3".as_ref())).unwrap();
    let made = std::fs::metadata(library).unwrap().modified().unwrap();
    six(&compile(source, &declarations, folder.path()));
    assert_eq!(std::fs::metadata(library).unwrap().modified().unwrap(), made, "taken as it is");

    std::fs::write(library, "damaged").unwrap();
    six(&compile(source, &declarations, folder.path()));
    assert_eq!(entries(), first, "made again in its place");
    compile("extern \"C\" int f() { return 7; }", &declarations, folder.path());
    assert_eq!(entries().len(), 4, "another source, another entry");
}

#[test]
fn a_folder_that_cannot_be_written_to_is_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let declarations = [declaration("f", &[], Some(integer(32)))];
    let library = compile(
        "extern \"C\" int f() { return 3; }",
        &declarations,
        &folder.path().join("file/below"),
    );
    assert_eq!(call(&library, "f", &mut []).unwrap().value, Some(Scalar::Integer(3)));
}

#[test]
fn headers_in_folders_count() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, headers) = (folder.path().join("cache"), folder.path().join("headers"));
    std::fs::create_dir(&headers).unwrap();
    let declarations = [declaration("f", &[], Some(integer(32)))];
    let value = |number: i64| {
        std::fs::write(headers.join("number.h"), format!("#define NUMBER {number}")).unwrap();
        let mut sources = Sources::new();
        sources.file("f.cc", "#include \"number.h\"\nextern \"C\" int f() { return NUMBER; }");
        sources.folder(&headers);
        let library = Library::compile(&sources, &declarations, Some(&cache)).unwrap();
        call(&library, "f", &mut []).unwrap().value
    };
    assert_eq!(value(1), Some(Scalar::Integer(1)));
    assert_eq!(value(2), Some(Scalar::Integer(2)));
}

#[test]
fn a_function_that_is_not_there_is_missing_and_a_source_that_is_wrong_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let declarations = [declaration("f", &[], None), declaration("g", &[], None)];
    let library = compile("extern \"C\" void f() {} void g() {}", &declarations, folder.path());
    assert_eq!(library.missing(), ["g"]);
    assert!(library.function("g", Behaviour::default()).is_none());
    let mut functions = Functions::new();
    library.register(&mut functions);
    assert_eq!(functions.symbols().collect::<Vec<_>>(), ["f"]);

    let mut sources = Sources::new();
    sources.file("wrong.cc", "extern \"C\" void f() { nonsense; }");
    let error = Library::compile(&sources, &declarations, Some(folder.path())).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("wrong.cc") && text.contains("nonsense"), "{text}");
    let mut sources = Sources::new();
    sources.file("f.cc", "extern \"C\" void h();\nextern \"C\" void f() { h(); }");
    let error = Library::compile(&sources, &declarations, Some(folder.path())).unwrap_err();
    assert!(error.to_string().contains('h'), "{error}");
}

#[test]
fn kernels_for_the_compilers_of_cores_are_taken_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"
        extern "C" int f(int n) {
          event0();
          int sum = 0;
          for (int i = 0; i < n; i++) chess_prepare_for_pipelining chess_loop_range(4, ) sum += i;
          event1();
          return sum;
        }
    "#;
    let declarations = [declaration("f", &[integer(32)], Some(integer(32)))];
    let mut sources = Sources::new();
    sources.foreign("some/where.cc", text);
    let library = Library::compile(&sources, &declarations, Some(folder.path())).unwrap();
    let returned = call(&library, "f", &mut [Argument::Scalar(Scalar::Integer(5))]).unwrap();
    assert_eq!(returned.value, Some(Scalar::Integer(10)));
    let mut sources = Sources::new();
    sources.foreign("some/where.cc", "\nint f() { return nothing; }");
    let error = Library::compile(&sources, &declarations, Some(folder.path())).unwrap_err();
    assert!(error.to_string().contains("some/where.cc:2:"), "{error}");
}

#[test]
fn a_library_of_ones_own_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.so");
    let source = folder.path().join("own.cc");
    std::fs::write(&source, "extern \"C\" int f(int x) { return x + 1; }").unwrap();
    let compiler = Compiler::find(&|name| std::env::var_os(name)).unwrap();
    compiler.compile(&[source], &[], &path).unwrap();
    let declarations = [declaration("f", &[integer(32)], Some(integer(32)))];
    let cache = folder.path().join("cache");
    let library = Library::open(&path, &declarations, Some(&cache)).unwrap();
    let returned = call(&library, "f", &mut [Argument::Scalar(Scalar::Integer(4))]).unwrap();
    assert_eq!(returned.value, Some(Scalar::Integer(5)));
    let error = Library::open(&folder.path().join("none.so"), &[], Some(&cache)).unwrap_err();
    assert!(error.to_string().starts_with("cannot load"), "{error}");
}
