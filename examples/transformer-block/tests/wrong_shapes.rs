//! A wrong shape or element type does not compile, and the compiler says which one is expected.

#[test]
fn wrong_shapes_do_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
