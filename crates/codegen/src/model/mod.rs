//! stub
#![allow(missing_docs)]
use crate::device::*;
use crate::problem::*;
use miette::SourceSpan;
#[derive(Debug, Clone, PartialEq)]
pub struct ModelFile {
    pub models: Vec<Model>,
    pub targets: Vec<Target>,
    pub ops: Vec<Op>,
}
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    pub name: String,
    pub dimensions: Vec<(String, Dimension)>,
    pub span: SourceSpan,
}
#[derive(Debug, Clone, PartialEq)]
pub enum Dimension {
    Fixed(u64),
    Lengths(Vec<u64>),
}
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    pub device: Device,
    pub precision: Precision,
    pub tile: TileChoice,
    pub span: SourceSpan,
    pub tile_span: SourceSpan,
}
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TileChoice {
    Auto,
    Fixed(Tile),
}
#[derive(Debug, Clone, PartialEq)]
pub struct Op {
    pub name: String,
    pub epilogue: Epilogue,
    pub span: SourceSpan,
    pub shape_span: SourceSpan,
}
#[derive(Debug, Clone, PartialEq)]
pub struct Matmul {
    pub op: usize,
    pub length: Option<u64>,
    pub shape: Shape,
    pub epilogue: Epilogue,
    pub count: u64,
}
impl ModelFile {
    pub fn problems(&self, p: Vec<Problem>) -> Problems {
        Problems::new("model.toml", "", p)
    }
    pub fn matmuls(&self, _: &Model) -> Vec<Matmul> {
        vec![]
    }
}
